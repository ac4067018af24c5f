// SPDX-License-Identifier: Apache-2.0

package scenario

import (
	"regexp"
	"testing"
)

// TestHelp: every step and condition that the parser knows is explained.
func TestHelp(t *testing.T) {
	help := Help()
	said := func(name string) bool {
		return regexp.MustCompile(`(?m)(^  |, )` + regexp.QuoteMeta(name) + `\b`).MatchString(help)
	}
	for name := range verbs {
		if !said(name) {
			t.Errorf("step %q is not explained", name)
		}
	}
	for name := range conditions {
		if !said(name) {
			t.Errorf("condition %q is not explained", name)
		}
	}
	if regexp.MustCompile(`(?m)^(//|package|#)`).MatchString(help) {
		t.Errorf("source among the help:\n%s", help)
	}
}
