// SPDX-License-Identifier: Apache-2.0

package build

import "testing"

func TestProtocol(t *testing.T) {
	if ProtocolVersion() < OldestProtocolVersion() || OldestProtocolVersion() == 0 {
		t.Errorf("this build speaks %s and works with %s and later", Protocol, OldestProtocol)
	}
	defer func(was string) { Protocol = was }(Protocol)
	Protocol = "2"
	if got := ProtocolVersion(); got != 2 {
		t.Errorf("%d, want 2", got)
	}
	Protocol = "two"
	defer func() {
		if recover() == nil {
			t.Error("a version that is no number was taken")
		}
	}()
	ProtocolVersion()
}
