// SPDX-License-Identifier: Apache-2.0

package paths

import (
	"fmt"
	"time"
)

// Report is what was forwarded since a mark. Numbered connections are those of package churn.
type Report struct {
	// Packets counts what each member forwarded to end stations, Connections how many numbered ones' first packet.
	Packets     map[string]int `json:"packets"`
	Connections map[string]int `json:"connections"`
	Numbered    int            `json:"numbered"` // numbered connections that were seen
	Both        int            `json:"both"`     // of Numbered, those seen both ways
	Apart       int            `json:"apart"`    // of Both, those whose ways led through different members
	Twice       int            `json:"twice"`    // packets of one connection and way that came through two members
	// Example is one of Apart or Twice.
	Example string `json:"example,omitempty"`
	// Missed is how many frames were not seen because a tap's buffer was full.
	Missed uint `json:"missed"`
}

// Share is the part of the numbered connections that a member forwarded the first packet of, 0 to 1.
func (r Report) Share(member string) float64 {
	if r.Numbered == 0 {
		return 0
	}
	return float64(r.Connections[member]) / float64(r.Numbered)
}

// way is a numbered connection to one kind of end station.
type way struct {
	number    int
	firstPort uint16 // of the run
	protocol  uint8
	six       bool
	clients   bool // it goes to a client
}

// window counts since a mark.
type window struct {
	from    time.Time
	packets map[uint8]int
	members map[way]uint8 // that forwarded the first packet
	begun   map[uint8]int
	twice   int
	example string
}

func newWindow() window {
	return window{from: time.Now(), packets: map[uint8]int{}, members: map[way]uint8{}, begun: map[uint8]int{}}
}

func (w *window) file(member uint8, s sight) {
	w.packets[member]++
	if !s.numbered {
		return
	}
	this, other := s.way, s.way
	other.clients = !other.clients
	first, seen := w.members[this]
	switch {
	case seen && first != member:
		w.twice++
		w.example = fmt.Sprintf("connection %d, %v > %v, through members %d and %d", s.number, s.flow.From, s.flow.To, first, member)
	case !seen:
		w.members[this] = member
		if _, back := w.members[other]; !back {
			w.begun[member]++
		}
	}
}

func (w *window) report(names []string) Report {
	r := Report{Packets: map[string]int{}, Connections: map[string]int{}, Twice: w.twice, Example: w.example}
	for member, n := range w.packets {
		r.Packets[names[member-1]] = n
	}
	for member, n := range w.begun {
		r.Connections[names[member-1]] = n
		r.Numbered += n
	}
	for this, member := range w.members {
		if this.clients {
			continue
		}
		back := this
		back.clients = true
		other, both := w.members[back]
		if !both {
			continue
		}
		r.Both++
		if other != member {
			r.Apart++
			r.Example = fmt.Sprintf("connection %d to servers through %s, to clients through %s", this.number, names[member-1], names[other-1])
		}
	}
	return r
}
