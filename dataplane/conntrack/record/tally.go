// SPDX-License-Identifier: Apache-2.0

package record

// Word is what the entries of one bucket add up to.
type Word struct {
	// Xor is the exclusive or of their Prints.
	Xor uint64
	// Count is how many there are, modulo 2^32.
	Count uint32
}

// Sum is what a whole table adds up to.
type Sum struct {
	// Entries is how many there are.
	Entries int64
	// Xor is the exclusive or of all Prints.
	Xor uint64
}

// Words are all buckets of a Tally.
type Words [Buckets]Word
