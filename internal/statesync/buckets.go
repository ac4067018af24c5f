// SPDX-License-Identifier: Apache-2.0

package statesync

import (
	"math/bits"

	"github.com/holdfast-project/holdfast/ccp"
)

// allBuckets are all of a table.
var allBuckets = func() (all ccp.SyncBitmap) {
	for i := range all {
		all[i] = 0xff
	}
	return all
}()

// within reports whether m has nothing that of has not.
func within(m, of *ccp.SyncBitmap) bool {
	for i := range m {
		if m[i]&^of[i] != 0 {
			return false
		}
	}
	return true
}

// join adds what is in by to m, and leave takes it out; meet leaves only what is in both.
func join(m, by *ccp.SyncBitmap) {
	for i := range m {
		m[i] |= by[i]
	}
}

func leave(m, by *ccp.SyncBitmap) {
	for i := range m {
		m[i] &^= by[i]
	}
}

func meet(m, by *ccp.SyncBitmap) {
	for i := range m {
		m[i] &= by[i]
	}
}

// count is how many buckets are in m.
func count(m *ccp.SyncBitmap) (n int) {
	for _, b := range m {
		n += bits.OnesCount8(b)
	}
	return n
}
