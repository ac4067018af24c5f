// SPDX-License-Identifier: Apache-2.0

package members

import (
	"strings"
	"testing"
)

// The digest decides, not the number; and without a policy section, or beside a build that tells none, nothing of it matters.
func TestPolicyOfTheSameNumber(t *testing.T) {
	for _, tc := range []struct {
		name         string
		wait         bool
		mine, theirs Generation
		held         string
	}{
		{"equal", true, Generation{42, [32]byte{1}}, Generation{42, [32]byte{1}}, ""},
		{"another digest", true, Generation{42, [32]byte{1}}, Generation{42, [32]byte{2}}, "generation 42 of the policy is another one"},
		{"they do not tell", true, Generation{42, [32]byte{1}}, Generation{}, ""},
		{"not waited for", false, Generation{42, [32]byte{1}}, Generation{41, [32]byte{2}}, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			m, now := standby(t, 1)
			m.cfg.WaitPolicy = tc.wait
			p := &m.peers[0]
			m.server, p.hello.Policy = p.id, tc.theirs
			m.policyReady(&PolicyReady{Ready: true, Policy: tc.mine})
			for range 2 {
				m.now = now + 1
				m.judgePolicy()
			}
			if got := m.heldBack(); tc.held == "" && got != "" || !strings.Contains(got, tc.held) {
				t.Errorf("held back: %q", got)
			}
		})
	}
}
