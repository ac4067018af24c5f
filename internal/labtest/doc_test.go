// SPDX-License-Identifier: Apache-2.0

package labtest

import "testing"

func TestEmulated(t *testing.T) {
	for info, want := range map[string]bool{
		"processor\t: 0\nvendor_id\t: AuthenticAMD\nmodel name\t: QEMU TCG CPU version 2.5+\n": true,
		"processor\t: 0\nvendor_id\t: AuthenticAMD\nmodel name\t: AMD EPYC\n":                  false,
	} {
		if got := emulated([]byte(info)); got != want {
			t.Errorf("emulated %v, want %v: %s", got, want, info)
		}
	}
}
