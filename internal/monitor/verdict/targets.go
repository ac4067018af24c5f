// SPDX-License-Identifier: Apache-2.0

package verdict

import (
	"fmt"
	"strings"
)

// Target is what a check found of one of several targets.
type Target struct {
	// Name is the target as configured, Reason what is wrong with it; empty if it is well.
	Name, Reason string
}

// shown is how many of the targets that are not well a reason names.
const shown = 3

// Of says what targets that were asked in one check mean together: with all set each has to be well, else one is enough.
func Of(all bool, targets []Target) Result {
	var wrong []string
	for _, t := range targets {
		if t.Reason != "" {
			wrong = append(wrong, t.Name+": "+t.Reason)
		}
	}
	if len(wrong) == 0 || !all && len(wrong) < len(targets) {
		return Fine()
	}
	text := strings.Join(wrong[:min(len(wrong), shown)], ", ")
	if more := len(wrong) - shown; more > 0 {
		text += fmt.Sprintf(", and %d more", more)
	}
	if len(targets) > 1 {
		text = fmt.Sprintf("%d of %d targets: %s", len(wrong), len(targets), text)
	}
	return Wrong(text)
}
