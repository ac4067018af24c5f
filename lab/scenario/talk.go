// SPDX-License-Identifier: Apache-2.0

package scenario

import (
	"strconv"
	"strings"

	"github.com/holdfast-project/holdfast/lab/conversation"
)

// talk parses "conversation KIND [v6] [from N] [to N|vip] [port N] [times N] [size 1GB] [over D] [every D] [hold D]"; "everything" is each
// kind in both families, straight, from the server as the gateway's address, and to the gateway's address.
func (p *parser) talk(w *words) {
	kind := w.oneOf("kind", append(conversation.Kinds(), "everything", "mix")...)
	if kind == "mix" {
		p.mix(w)
		return
	}
	t := Talk{Kind: conversation.Kind(kind), From: "client1", To: "server1", Times: 1}
	for w.more() {
		switch word := w.oneOf("word", "v6", "from", "to", "port", "times", "size", "over", "every", "hold"); word {
		case "v6":
			t.Six = true
		case "from":
			t.From = p.node(w)
		case "to":
			if t.ViaVIP = w.take("vip"); !t.ViaVIP {
				t.To = p.node(w)
			}
		case "port":
			t.Port = uint16(w.number("port", 1, 65535))
		case "times":
			t.Times = w.number("number of conversations", 1, 1000)
		case "size":
			t.Size = w.bytes("size")
		case "over":
			t.Over = w.duration("time")
		case "every":
			t.Every = w.duration("time")
		case "hold":
			t.Hold = w.duration("time")
		}
	}
	if kind != "everything" {
		p.sc.Traffic.Talks = append(p.sc.Traffic.Talks, t)
		return
	}
	for _, name := range conversation.Connected() {
		t.Kind = conversation.Kind(name)
		for _, t.Six = range []bool{false, true} {
			straight, inside, destined := t, t, t
			inside.From, inside.To = t.To, t.From
			destined.ViaVIP = true
			p.sc.Traffic.Talks = append(p.sc.Traffic.Talks, straight, inside)
			if t.Kind != conversation.Ping { // the gateway answers an echo request itself
				p.sc.Traffic.Talks = append(p.sc.Traffic.Talks, destined)
			}
		}
	}
}

// sizes are the units of a number of bytes.
var sizes = []struct {
	name string
	size int64
}{{"GB", 1 << 30}, {"MB", 1 << 20}, {"kB", 1 << 10}, {"", 1}}

// bytes takes a number of bytes: 1000, 64kB, 1GB.
func (w *words) bytes(what string) int64 {
	s := w.next(what)
	for _, u := range sizes {
		digits, ok := strings.CutSuffix(s, u.name)
		if n, err := strconv.ParseInt(digits, 10, 32); ok && err == nil && n >= 0 {
			return n * u.size
		}
	}
	bad("%s %q: write a number of bytes, like 500kB or 1GB", what, s)
	return 0
}
