// SPDX-License-Identifier: Apache-2.0

package machine_test

import (
	"testing"
	"time"
)

// deadline is closed when a poll has lasted too long.
func deadline(t *testing.T) (<-chan time.Time, func()) {
	t.Helper()
	timer := time.NewTimer(5 * time.Second)
	return timer.C, func() { timer.Stop() }
}
