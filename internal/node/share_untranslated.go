// SPDX-License-Identifier: Apache-2.0

package node

import "github.com/holdfast-project/holdfast/bpf"

// untranslated are the families of which the gate need not look connections up: no rule here translates what begins, and no connection
// that is known is translated, begun here or copied.
func untranslated(rules, known bpf.Families) bpf.Families {
	return bpf.Families{Four: !rules.Four && !known.Four, Six: !rules.Six && !known.Six}
}

// shareLooksUp tells the gate, if that is other than before, which connections it need not look up. A connection that is translated is known by
// its first event, here, and before it is copied, elsewhere; that comes to the gate as late as a copy comes to a member, about a millisecond. A rule that
// translates is found within a second, and by what it has translated before that.
func (n *node) shareLooksUp() {
	s := &n.share
	if s.agreement == nil {
		return
	}
	var known bpf.Families
	known.Four, known.Six = n.sync.plane.Translated()
	if now := untranslated(n.tracking.is.translated, known); now != s.untranslated {
		s.untranslated = now
		n.gate.SetUntranslated(now)
		n.log.Debug("connections of which nothing is translated are not looked up", "ipv4", now.Four, "ipv6", now.Six)
	}
}
