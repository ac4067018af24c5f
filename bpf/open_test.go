// SPDX-License-Identifier: Apache-2.0

package bpf

import "testing"

func TestOpenLoads(t *testing.T) {
	g := openGate(t, testOptions(newPinDir(t)))
	if g.Adopted() {
		t.Error("a fresh gate says that it was adopted")
	}
}
