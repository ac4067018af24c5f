// SPDX-License-Identifier: Apache-2.0

package statesync

import (
	"testing"
	"time"

	"github.com/holdfast-project/holdfast/dataplane/conntrack/record"
)

func TestReplicate(t *testing.T) {
	w := newWorld(t, 3, 2)
	w.eventually("copies are current", 5*time.Second, func() bool {
		return w.members[1].plane.State().Current && w.members[2].plane.State().Current
	})
	w.members[0].flows(record.OpNew, 0, 1000)
	w.eventually("new ones are everywhere", 3*time.Second, w.equal(1000))
	w.same()
	w.members[0].flows(record.OpDelete, 0, 400)
	w.eventually("ended ones are gone everywhere", 3*time.Second, w.equal(600))
	w.same()
}
