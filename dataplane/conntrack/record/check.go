// SPDX-License-Identifier: Apache-2.0

package record

// Checker refuses records that no honest member sends. The zero value takes every zone and time-outs up to CopyTimeout. It is not
// changed by use: goroutines may share one.
type Checker struct {
	// Zones are the conntrack zones that a record may name beside the default zone 0; nil: any.
	Zones []uint16
	// MaxTimeout bounds time-outs, in seconds; 0: CopyTimeout.
	MaxTimeout uint32
}
