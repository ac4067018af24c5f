// SPDX-License-Identifier: Apache-2.0

package record

// Buckets is how many buckets a Tally has.
const Buckets = 1024

// Identity names an entry of a table, and this very instance of it, by keyed hashes that all members of a cluster compute alike. It is
// made of what the kernel's NEW and DESTROY events, and dumps, all carry.
type Identity struct {
	// Key is a hash of table, family, zone and original tuple: two entries of a table never have the same tuple.
	Key uint64
	// Print is a hash of Key and the reply tuple, and so of how the connection is translated.
	Print uint64
}

// Bucket returns the bucket of a Tally that the entry belongs to, 0..Buckets-1.
func (i Identity) Bucket() int { return int(i.Key >> 54) }
