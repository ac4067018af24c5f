// SPDX-License-Identifier: Apache-2.0

package scenario

import (
	"time"

	"github.com/holdfast-project/holdfast/lab/conversation"
)

// bothPort is the port that the ruleset of load sharing translates in both directions.
const bothPort = 2222

// mixture is what a hundred conversations of a mix are: long and short connections, plain, to the gateway's address, as the
// gateway's address, and both.
var mixture = []struct {
	of100 int
	Talk
}{
	{16, Talk{Kind: conversation.SSH, From: "client1", To: "server1"}},
	{10, Talk{Kind: conversation.SSH, From: "client1", To: "server1", Six: true}},
	{14, Talk{Kind: conversation.SSH, From: "client1", To: "server1", ViaVIP: true}},
	{8, Talk{Kind: conversation.SSH, From: "client1", To: "server1", ViaVIP: true, Six: true}},
	{14, Talk{Kind: conversation.SSH, From: "server2", To: "client1"}},
	{8, Talk{Kind: conversation.SSH, From: "server2", To: "client1", Six: true}},
	{8, Talk{Kind: conversation.SSH, From: "client1", To: "server1", ViaVIP: true, Port: bothPort}},
	{4, Talk{Kind: conversation.SSH, From: "client1", To: "server1", ViaVIP: true, Port: bothPort, Six: true}},
	{6, Talk{Kind: conversation.Web, From: "client1", To: "server1", ViaVIP: true}},
	{5, Talk{Kind: conversation.Web, From: "server2", To: "client1"}},
	{5, Talk{Kind: conversation.Web, From: "client1", To: "server1", Six: true}},
	{2, Talk{Kind: conversation.Download, From: "client1", To: "server1", ViaVIP: true, Size: 16 << 20, Over: 20 * time.Second}},
}

// mixEvery is the time between two messages of a connection of a mix: thousands of them are some ten thousand packets a second.
const mixEvery = 250 * time.Millisecond

// webEvery is the time between two short connections: each of a mix costs the host more than many messages.
const webEvery = time.Second

// mix parses "COUNT [every D]".
func (p *parser) mix(w *words) {
	count, every := w.number("number of conversations", 100, 5000), mixEvery
	if w.take("every") {
		every = w.duration("time")
	}
	for _, m := range mixture {
		t := m.Talk
		if t.Times, t.Every = count*m.of100/100, every; t.Kind == conversation.Web {
			t.Every = webEvery
		}
		for _, name := range []string{t.From, t.To} {
			p.refs = append(p.refs, reference{p.line, "node", name})
		}
		p.sc.Traffic.Talks = append(p.sc.Traffic.Talks, t)
	}
}
