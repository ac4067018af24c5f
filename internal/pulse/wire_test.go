// SPDX-License-Identifier: Apache-2.0

package pulse

import (
	"bytes"
	"errors"
	"reflect"
	"testing"
	"time"

	"github.com/holdfast-project/holdfast/ccp"
)

func testConfig() *Config {
	return &Config{
		PinDir: "/sys/fs/bpf/holdfast/a/m0", Self: 0, Cluster: 7, EtherType: ccp.DefaultEtherType, KeyNumber: 1, Key: ccp.GateKey{1, 2, 3},
		Probe: 10 * time.Millisecond, Dead: 30 * time.Millisecond, Transport: Unicast, Peers: []uint8{1, 2},
		Interfaces: []Interface{
			{Slot: 1, Index: 11, Name: "outside", MAC: [6]byte{2, 0, 0, 0, 0, 1}},
			{Slot: 2, Index: 12, Name: "inside", MAC: [6]byte{2, 0, 0, 0, 0, 2}},
		},
	}
}

var testReply = ccp.Reply{
	Nonce: 1 << 60, Term: 5, Group: 3, Bits: ccp.BitAnswer, LeaseAgeMs: 12, FenceTerm: 4, Grantee: 1, Result: ccp.ResultGranted,
	Heard: [8]uint8{0, 1, 2, 255}, Closed: 99,
}

// commands and events have one of each kind, every field set.
var commands = []command{
	{kind: msgConfigure, config: testConfig()},
	{kind: msgConfigure, config: &Config{PinDir: "p", Probe: 1, Dead: 2}},
	{kind: msgWord, at: 77},
	{kind: msgLease, group: 15, term: 9, alone: true, at: 78},
	{kind: msgDrop, group: 1},
	{kind: msgYield, target: 2, group: 1, yield: ccp.YieldGraceful, term: 1 << 23, minAgeMs: 100},
	{kind: msgQuery},
	{kind: msgBuild, text: "v1.0.0 0011223344556677"},
	{kind: msgShare, term: 9, number: 77, at: 79},
	{kind: msgDropShare},
	{kind: msgDropShare, lingers: true},
}

var heardEvent = Heard{Peer: 1, Slot: 2, Query: true, At: 3, RTT: 4, Incarnation: 5, Stamp: 6, Reply: testReply}

func encodings() (packets [][]byte, events []Event) {
	stats := Stats{
		At: 1, Ticks: 2, Skipped: 3, Late: Histogram{Count: 1, Sum: 2, Buckets: [12]uint64{0, 1}}, WorstLate: 4, MaxLate: 5, Renewals: 6,
		WorstRenewal: 7, Softirq: 11, MaxSoftirq: 12, OnTimeSince: 8, Held: 9, Realtime: true, Locked: true, Faults: 10, Dropped: [DropCount]uint64{1, 2, 3, 4, 5, 6},
		Links: []LinkStats{{Peer: 1, Slot: 2, Silent: true, Sent: 3, Unsent: 4, Answered: 5, AnswersLastSecond: 8, SlowAnswers: 9, RTT: Histogram{Count: 7}}, {Peer: 2}},
	}
	silent := Silent{Peer: 1, Slot: 2, Unsent: true, At: 3, Since: 4}
	missed := Missed{Peer: 1, Slot: 2, At: 3, Since: 4}
	yielded := YieldReply{Peer: 1, Slot: 2, Group: 3, Kind: ccp.YieldClaim, Term: 4, At: 5, RTT: 6, Incarnation: 7, Reply: testReply}
	gate := GateChanged{Group: 1, Bits: 3, Lease: 4, FenceTerm: 5, Grantee: 6, Leased: 7, Lost: LostExpired, At: 8}
	health := Health{OnTimeSince: 1, Late: 2}
	shared := ShareChanged{Open: true, Forward: true, Term: 1, FenceTerm: 2, Leased: 3, Number: 4, Lost: LostExpired, At: 5}
	notice := Notice{Code: NoticeInterface, Slot: 3, Text: "network is down"}
	return [][]byte{
			appendHeard(nil, &heardEvent), appendSilent(nil, &silent), appendMissed(nil, &missed), appendYielded(nil, &yielded),
			appendGate(nil, &gate), appendHealth(nil, &health), appendNotice(nil, &notice), appendStats(nil, &stats),
			appendShare(nil, &shared),
		}, []Event{
			heardEvent, silent, missed, yielded, gate, health, notice, stats, shared,
		}
}

func TestCommandsRoundTrip(t *testing.T) {
	for _, want := range commands {
		b := appendCommand(nil, &want)
		var got command
		if err := decodeCommand(b, &got); err != nil {
			t.Fatalf("type %d: %v", want.kind, err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("type %d:\n got %+v\nwant %+v", want.kind, got, want)
		}
		for n := range b {
			if err := decodeCommand(b[:n], &got); !errors.Is(err, errMessage) {
				t.Errorf("type %d cut to %d of %d bytes: error %v", want.kind, n, len(b), err)
			}
		}
		if err := decodeCommand(append(b, 0), &got); !errors.Is(err, errMessage) {
			t.Errorf("type %d with a byte too much: error %v", want.kind, err)
		}
	}
}

func TestEventsRoundTrip(t *testing.T) {
	packets, events := encodings()
	for i, b := range packets {
		got, err := decodeEvent(b)
		if err != nil {
			t.Fatalf("%T: %v", events[i], err)
		}
		if !reflect.DeepEqual(got, events[i]) {
			t.Errorf("\n got %+v\nwant %+v", got, events[i])
		}
		for n := range b {
			if _, err := decodeEvent(b[:n]); err == nil {
				t.Errorf("%T cut to %d of %d bytes was taken", events[i], n, len(b))
			}
		}
	}
}

func TestStartMessages(t *testing.T) {
	if e, err := decodeEvent([]byte{byte(msgReady)}); e != nil || err != nil {
		t.Errorf("ready: %v, %v", e, err)
	}
	_, err := decodeEvent(appendText([]byte{byte(msgFailed)}, "no words"))
	if !errors.Is(err, errFailed) || err.Error() != "pulse: the child cannot begin: no words" {
		t.Errorf("failed: %v", err)
	}
}

// The longest message fits into the buffers on both sides.
func TestLongestMessage(t *testing.T) {
	s := Stats{Links: make([]LinkStats, MaxInterfaces*(MaxMembers-1))}
	if n := len(appendStats(nil, &s)); n > maxMessage {
		t.Errorf("stats of all links take %d bytes, the buffer has %d", n, maxMessage)
	}
}

// The threat model is a bug, not an enemy: both ends are the same binary on a socket that nobody else has. What is decoded
// must encode to the same bytes.
func FuzzCommand(f *testing.F) {
	for _, c := range commands {
		f.Add(appendCommand(nil, &c))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var c command
		if decodeCommand(b, &c) != nil {
			return
		}
		if again := appendCommand(nil, &c); !bytes.Equal(again, b) {
			t.Errorf("%x became %x", b, again)
		}
	})
}

func FuzzEvent(f *testing.F) {
	packets, _ := encodings()
	for _, b := range packets {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := decodeEvent(b)
		if err != nil || e == nil {
			return
		}
		if again := appendEvent(e); !bytes.Equal(again, b) {
			t.Errorf("%x became %x", b, again)
		}
	})
}

// appendEvent encodes an event of any type.
func appendEvent(e Event) []byte {
	switch e := e.(type) {
	case Heard:
		return appendHeard(nil, &e)
	case Silent:
		return appendSilent(nil, &e)
	case Missed:
		return appendMissed(nil, &e)
	case YieldReply:
		return appendYielded(nil, &e)
	case GateChanged:
		return appendGate(nil, &e)
	case ShareChanged:
		return appendShare(nil, &e)
	case Health:
		return appendHealth(nil, &e)
	case Notice:
		return appendNotice(nil, &e)
	case Stats:
		return appendStats(nil, &e)
	}
	return nil
}
