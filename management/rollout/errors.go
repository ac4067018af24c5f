// SPDX-License-Identifier: Apache-2.0

package rollout

import (
	"fmt"
	"slices"
	"strings"

	"github.com/holdfast-project/holdfast/management"
)

// OverError says that an attempt cannot be confirmed, because it is not committed, or is over.
type OverError struct {
	Number uint64
	Phase  management.Phase
}

// Error implements error.
func (e *OverError) Error() string {
	switch e.Phase {
	case management.Preparing:
		return fmt.Sprintf("attempt %d is still being prepared: confirm once it is committed", e.Number)
	case management.Confirmed:
		return fmt.Sprintf("attempt %d is confirmed already", e.Number)
	}
	return fmt.Sprintf("attempt %d is over (%s): install again", e.Number, e.Phase)
}

// NotWellError says why an attempt cannot be confirmed yet.
type NotWellError struct {
	Number  uint64
	Members map[string]string // name: what is missing
}

// Error implements error.
func (e *NotWellError) Error() string {
	return fmt.Sprintf("attempt %d: %s: confirm again when all members are well, or let it roll back", e.Number, list(e.Members))
}

// list is members with their reasons, by name.
func list(members map[string]string) string {
	var out []string
	for name, why := range members {
		out = append(out, name+" "+why)
	}
	slices.Sort(out)
	return strings.Join(out, "; ")
}

func reason(why string) string {
	if why == "" {
		return ""
	}
	return " (" + why + ")"
}
