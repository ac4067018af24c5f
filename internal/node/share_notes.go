// SPDX-License-Identifier: Apache-2.0

package node

import (
	"github.com/holdfast-project/holdfast/bpf"
	"github.com/holdfast-project/holdfast/dataplane/conntrack/record"
	"github.com/holdfast-project/holdfast/dataplane/steer"
)

// gateNotes are the gate's notes of answers for the sync plane, which fills them.
type gateNotes struct{ gate *bpf.Gate }

// Note implements statesync.Notes.
func (g gateNotes) Note(answer record.Tuple, slot uint16, here bool) error {
	return g.gate.NoteAnswer(answerToGate(answer), slot, here)
}

// Forget implements statesync.Notes.
func (g gateNotes) Forget(answer record.Tuple) error {
	return g.gate.ForgetAnswer(answerToGate(answer))
}

// Noted implements statesync.Notes.
func (g gateNotes) Noted() ([]record.Tuple, error) {
	found, err := g.gate.Answers()
	all := make([]record.Tuple, 0, len(found))
	for _, a := range found {
		all = append(all, answerOf(a))
	}
	return all, err
}

func answerToGate(t record.Tuple) bpf.Answer {
	p := packetOf(t)
	return bpf.Answer{Src: p.Src, Dst: p.Dst, Proto: p.Proto, SrcPort: p.SrcPort, DstPort: p.DstPort}
}

func answerOf(a bpf.Answer) record.Tuple {
	t := record.Tuple{Src: a.Src, Dst: a.Dst, Proto: a.Proto}
	switch a.Proto {
	case steer.ProtoICMP:
		t.ICMPType, t.ICMPID = echoReply4, a.DstPort
	case steer.ProtoICMPv6:
		t.ICMPType, t.ICMPID = echoReply6, a.DstPort
	default:
		t.SrcPort, t.DstPort = a.SrcPort, a.DstPort
	}
	return t
}
