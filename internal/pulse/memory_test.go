// SPDX-License-Identifier: Apache-2.0

package pulse

import (
	"reflect"
	"testing"
	"unsafe"
)

// The code of this package lies in what would be locked, wherever the program was loaded.
func TestSectionsHoldTheProgram(t *testing.T) {
	found, err := sections()
	if err != nil {
		t.Fatal(err)
	}
	text := "a constant"
	addresses := map[string]uintptr{
		"code": reflect.ValueOf(Main).Pointer(), "constant": uintptr(unsafe.Pointer(unsafe.StringData(text))),
	}
	for name, address := range addresses {
		inside := false
		for _, s := range found {
			start := uintptr(unsafe.Pointer(&s[0]))
			inside = inside || address >= start && address < start+uintptr(len(s))
		}
		if !inside {
			t.Errorf("%s at %#x is in none of the %d sections", name, address, len(found))
		}
	}
	if len(found) != len(lockedSections) {
		t.Errorf("%d sections, want %v", len(found), lockedSections)
	}
}
