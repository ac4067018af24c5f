// SPDX-License-Identifier: Apache-2.0

package node

import (
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"testing"

	"github.com/holdfast-project/holdfast/bpf"
	"github.com/holdfast-project/holdfast/ccp"
	"github.com/holdfast-project/holdfast/dataplane/conntrack/record"
	"github.com/holdfast-project/holdfast/dataplane/steer"
	"github.com/holdfast-project/holdfast/internal/config"
	"github.com/holdfast-project/holdfast/members"
	"github.com/holdfast-project/holdfast/members/device"
	"github.com/holdfast-project/holdfast/members/gate"
)

// TestSlotNumbers holds the agreement's numbers, the wire's and the gate's together: the node converts one into the other.
func TestSlotNumbers(t *testing.T) {
	for _, pair := range [][2]any{
		{steer.Slots, ccp.SlotCount}, {steer.Slots, bpf.SteerSlots}, {steer.Slots, record.Buckets}, {steer.Members, ccp.MaxMembers},
		{steer.Members, gate.Members}, {uint8(steer.PhasePrepare), uint8(ccp.SlotsPrepare)}, {uint8(steer.PhaseCommit), uint8(ccp.SlotsCommit)},
		{steer.Nobody, ccp.Nobody}, {steer.Nobody, members.Nobody},
		{uint8(steer.ModeHA), uint8(bpf.SteerHA)}, {uint8(steer.ModeMulticast), uint8(bpf.SteerMulticast)}, {uint8(steer.ModeUnicast), uint8(bpf.SteerUnicast)},
		{uint8(steer.ByIPs), uint8(bpf.SteerByIPs)}, {uint8(steer.ByPorts), uint8(bpf.SteerByPorts)}, {uint8(steer.ByPortsAndSPI), uint8(bpf.SteerByPortsAndSPI)},
		{uint8(steer.Moves(1, 2)), uint8(1 | 2<<3 | bpf.EntryMoving)}, {uint8(steer.Taken(steer.Nobody)), uint8(bpf.EntryNobody)},
	} {
		if fmt.Sprint(pair[0]) != fmt.Sprint(pair[1]) {
			t.Errorf("%v is not %v", pair[0], pair[1])
		}
	}
	for name := range wireModes {
		if _, known := map[string]bool{"ha": true, "load-sharing/multicast": true, "load-sharing/unicast": true}[name]; !known {
			t.Errorf("mode %s is not one of the configuration", name)
		}
	}
	for _, m := range []config.Method{config.MethodMulticast, config.MethodUnicast} {
		c := config.Cluster{Mode: config.ModeLoadSharing, LoadSharing: &config.LoadSharing{Method: m}}
		if wireModes[c.ModeText()] == 0 {
			t.Errorf("%s has no number on the wire", c.ModeText())
		}
	}
}

func sampleTable() *steer.Table {
	t := &steer.Table{Version: steer.Version{Term: 7, Number: 3, Phase: steer.PhasePrepare}, Leader: 2, Share: [8]uint32{7, 7, 9}}
	for i := range t.Entry {
		switch i % 4 {
		case 0:
			t.Entry[i] = steer.Taken(uint8(i / 4 % 3))
		case 1:
			t.Entry[i] = steer.Moves(0, 1)
		case 2:
			t.Entry[i] = steer.Taken(steer.Nobody)
		}
	}
	return t
}

// TestTablesTranslate: a table comes out as it went in, by the wire and by the gate.
func TestTablesTranslate(t *testing.T) {
	table := sampleTable()
	key := [16]byte{1, 2, 3}
	w := tableToWire(table, key)
	back, err := ccp.ParseSlots(w.Append(nil))
	if err != nil || back.Key != key {
		t.Fatal(err)
	}
	if got := tableFromWire(2, &back); !reflect.DeepEqual(got, table) {
		t.Errorf("by the wire: %+v", got.Version)
	}
	if got := tableOf(tableToGate(table)); !reflect.DeepEqual(got, table) {
		t.Errorf("by the gate: %+v", got.Version)
	}
	if keyBytes(keyWords(key)) != key {
		t.Error("the secret of the hash changes on its way to the gate")
	}
	o := ownersOf(table, 1, true)
	if of := ownersOf(table, 0, true); !o.Coming[1] || of.Coming[1] || o.Coming[4] {
		t.Error("a moving slot comes to its next taker, and to no other")
	}
	if o.Term != 7 || o.Number != 3 || o.Commit || !o.Sharing || o.Takes[0] != 0 || o.Takes[4] != 1 || o.Takes[2] != ccp.Nobody || !o.Moving[1] || o.Moving[0] {
		t.Errorf("for the sync plane: %+v", o.Takes[:8])
	}
	none := ownersOf(&steer.Table{}, 0, false)
	if none.Takes[0] != ccp.Nobody || none.Takes[1023] != ccp.Nobody || none.Sharing {
		t.Error("of a table that knows nothing somebody takes something")
	}
}

// TestStatusTranslates: what a HELLO says of a share is what the agreement said.
func TestStatusTranslates(t *testing.T) {
	want := steer.Status{
		Version: steer.Version{Term: 4, Number: 5, Phase: steer.PhaseCommit}, Leader: 1, Flushed: true, Open: true, Share: 6, Dropped: true, Follows: 3,
		Weights: steer.Weights{Serial: 7, By: 2, Set: true, Weight: [8]uint16{1, 2, 3, 4, 5, 6, 7, 8}},
	}
	v := viewOf(want)
	h := ccp.Hello{Share: v}
	back, err := ccp.ParseHello(h.Append(nil))
	if err != nil {
		t.Fatal(err)
	}
	if got := statusFromWire(&back.Share); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}

// order is a node whose effects are written down.
type order struct {
	node
	done  []string
	busy  []chan struct{} // one for each table that the sync plane is told of
	ready bool            // it is ready at once
}

func newOrder() *order {
	o := &order{}
	o.share.perform = func(_ int64, e steer.Effect) {
		if w, is := e.(steer.WakeAt); is {
			o.share.wakeAt = w.At
			return
		}
		text := fmt.Sprintf("%T", e)
		if a, is := e.(steer.Apply); is {
			text += fmt.Sprint(a.Table.Number)
		}
		o.done = append(o.done, text[len("steer."):])
	}
	o.share.own = func(*steer.Table) <-chan struct{} {
		if o.ready {
			return nil
		}
		c := make(chan struct{})
		o.busy = append(o.busy, c)
		return c
	}
	return o
}

func (o *order) expect(t *testing.T, when string, want ...string) {
	t.Helper()
	if !slices.Equal(o.done, want) {
		t.Errorf("%s: %v, want %v", when, o.done, want)
	}
	o.done = nil
}

func table(number uint32) *steer.Table {
	return &steer.Table{Version: steer.Version{Term: 1, Number: number, Phase: steer.PhaseCommit}}
}

// TestTableWaitsForTheConnections: a table is in force, a share open, and both told, when the connections that had come in are there; what
// closes waits for nothing.
func TestTableWaitsForTheConnections(t *testing.T) {
	o := newOrder()
	o.ready = true
	o.shareDo(1, []steer.Effect{steer.Apply{Table: table(1)}, steer.Share{Term: 1}, steer.Tell{}, steer.WakeAt{At: 9}})
	o.expect(t, "nothing to wait for", "Apply1", "Share", "Tell")
	if o.share.wakeAt != 9 {
		t.Error("the wake is lost")
	}

	o.ready = false
	o.shareDo(2, []steer.Effect{steer.DropShare{}, steer.Apply{Table: table(2)}, steer.Share{Term: 2}, steer.Tell{}, steer.WakeAt{At: 10}})
	o.expect(t, "the table waits", "DropShare")
	if o.share.doneBy != 2+int64(applyWithin) || o.share.wakeAt != 10 {
		t.Errorf("until %d, wakes at %d", o.share.doneBy, o.share.wakeAt)
	}
	o.shareDo(3, []steer.Effect{steer.Apply{Table: table(3)}, steer.Tell{}})
	o.expect(t, "another one behind it")
	o.shareApplied(false)
	o.expect(t, "the first is ready", "Apply2", "Share", "Tell")
	if o.share.applied == nil || len(o.busy) != 2 {
		t.Fatal("the second does not wait")
	}
	o.shareApplied(false)
	o.expect(t, "the second is ready", "Apply3", "Tell")

	o.shareDo(4, []steer.Effect{steer.Apply{Table: table(4)}, steer.Share{Term: 3}})
	o.shareDo(5, []steer.Effect{steer.DropShare{}, steer.Apply{Table: table(5)}})
	o.expect(t, "what closes", "DropShare")
	o.shareApplied(false)
	o.shareApplied(false)
	o.expect(t, "what was to open before does not any more", "Apply4", "Apply5")
}

// sharingNode is a member of the reference cluster, in load sharing.
func sharingNode(t *testing.T, name string, method config.Method) *node {
	n := referenceNode(t, name)
	n.cfg.Mode = config.ModeLoadSharing
	n.cfg.LoadSharing = &config.LoadSharing{Method: method, Key: config.KeyPorts, SNATPorts: config.PortRange{First: 32768, Last: 65535},
		Published: []netip.Prefix{netip.MustParsePrefix("10.9.0.0/16")}}
	n.wire = &wire{n: n}
	n.share.table = sampleTable()
	n.share.key = [16]byte{9}
	n.share.rules = n.steerRules()
	return n
}

// TestFingerprint: rules that sort connections in another way have another one.
func TestFingerprint(t *testing.T) {
	n := sharingNode(t, "gw-a", config.MethodUnicast)
	first := n.fingerprint(&n.share.rules)
	if other := sharingNode(t, "gw-b", config.MethodUnicast); other.fingerprint(&other.share.rules) != first {
		t.Error("another member has other rules")
	}
	for name, change := range map[string]func(){
		"key":       func() { n.share.rules.Key[1]++ },
		"kind":      func() { n.share.rules.Kind = steer.ByIPs },
		"published": func() { n.share.rules.Published = nil },
		"vips":      func() { n.cfg.Interfaces[0].VIPs = nil },
	} {
		before := n.fingerprint(&n.share.rules)
		change()
		if n.fingerprint(&n.share.rules) == before {
			t.Errorf("the same with another %s", name)
		}
	}
	if first == 0 {
		t.Error("0 is no fingerprint")
	}
}

// TestBucketsAreSlots: a connection is in the bucket of the slot of its first packet, and of its answers where nothing is translated.
func TestBucketsAreSlots(t *testing.T) {
	n := sharingNode(t, "gw-a", config.MethodMulticast)
	slots := syncSlots(n.share.rules, 1, nil)
	a, b := netip.MustParseAddr("198.51.100.7"), netip.MustParseAddr("203.0.113.9")
	for _, tuple := range []record.Tuple{
		{Src: a, Dst: b, Proto: 6, SrcPort: 1, DstPort: 2}, {Src: a, Dst: b, Proto: 1, ICMPType: 8, ICMPID: 5}, {Src: a, Dst: b, Proto: 47, SrcPort: 3, DstPort: 4},
	} {
		back := tuple
		back.Src, back.Dst, back.SrcPort, back.DstPort = tuple.Dst, tuple.Src, tuple.DstPort, tuple.SrcPort
		if back.Proto == 1 {
			back.ICMPType = 0
		}
		want, _ := n.share.rules.Slot(packetOf(tuple))
		if got := slots.Of(tuple); got != want || slots.Of(back) != want {
			t.Errorf("%+v: bucket %d, its answers' %d, want slot %d", tuple, got, slots.Of(back), want)
		}
	}
}

// TestShownState: those who carry a share are ACTIVE, and a pivot is marked.
func TestShownState(t *testing.T) {
	for _, k := range []struct {
		method config.Method
		state  members.State
		id     uint8
		open   bool
		want   string
	}{
		{config.MethodUnicast, members.StateActive, 0, true, "ACTIVE(P)"},
		{config.MethodUnicast, members.StateActiveAttention, 0, true, "ACTIVE(!P)"},
		{config.MethodMulticast, members.StateActive, 0, true, "ACTIVE"},
		{config.MethodUnicast, members.StateStandby, 1, true, "ACTIVE"},
		{config.MethodUnicast, members.StateStandby, 1, false, "STANDBY"},
		{config.MethodUnicast, members.StateDown, 1, true, "DOWN"},
	} {
		n := sharingNode(t, "gw-a", k.method)
		n.wire.told[1] = &ccp.Hello{Share: ccp.ShareView{Open: k.open}}
		v := members.View{Active: 0, Members: []members.PeerView{{ID: 0}, {ID: 1}}}
		v.Members[k.id].State = k.state
		if got := n.shownState(&v, k.id); got != k.want {
			t.Errorf("%v %v open %v: %s, want %s", k.method, k.state, k.open, got, k.want)
		}
	}
}

// TestShownWhy: why a member is in its state says what it takes, in the words of its state as shown.
func TestShownWhy(t *testing.T) {
	for _, k := range []struct {
		mode     config.Mode
		state    members.State
		id       uint8
		open     bool
		sentence string
		want     string
	}{
		{config.ModeLoadSharing, members.StateActive, 0, true, "gw-a is ACTIVE: no member was serving", "leads, and takes 512 of 1024 slots: no member was serving"},
		{config.ModeLoadSharing, members.StateStandby, 1, true, "gw-b is STANDBY: fit to serve; gw-a serves", "takes 512 of 1024 slots; gw-a leads"},
		{config.ModeLoadSharing, members.StateStandby, 1, false, "gw-b is STANDBY: fit to serve; gw-a serves", "fit to serve; gw-a serves"},
		{config.ModeLoadSharing, members.StateDown, 1, true, "gw-b is DOWN: admin-down", "takes 512 of 1024 slots: admin-down"},
		{config.ModeHA, members.StateStandby, 1, true, "gw-b is STANDBY: fit to serve", "fit to serve"},
	} {
		n := sharingNode(t, "gw-a", config.MethodUnicast)
		for i := range n.share.table.Entry {
			n.share.table.Entry[i] = steer.Taken(uint8(i % 2))
		}
		n.share.told.Open = k.open
		n.wire.told[1] = &ccp.Hello{Share: ccp.ShareView{Open: k.open}}
		if k.mode == config.ModeHA {
			n.cfg.LoadSharing = nil
		}
		v := members.View{Active: 0, Members: []members.PeerView{{ID: 0}, {ID: 1}}}
		v.Members[k.id].State = k.state
		if got := n.shownWhy(&v, k.id, k.sentence); got != k.want {
			t.Errorf("%v %v open %v: %q, want %q", k.mode, k.state, k.open, got, k.want)
		}
	}
}

// TestOnlyOne: the last weight is not taken away.
func TestOnlyOne(t *testing.T) {
	if onlyOne([8]uint16{10, 0, 5}, 0) || !onlyOne([8]uint16{10}, 0) || onlyOne([8]uint16{0, 3}, 0) {
		t.Error("who has weight beside a member")
	}
}

// TestReloadKeepsShares: a reload that has come to one member only takes nobody's share. If packets sort in another way by it, slots move as
// planned; what differs for good gets no share.
func TestReloadKeepsShares(t *testing.T) {
	shares, none := sampleTable(), sampleTable()
	none.Share[1] = 0
	own := members.Hello{Version: 1, Mode: "load-sharing/unicast", Digest: [32]byte{1}}
	for _, k := range []struct {
		name             string
		change           func(*ccp.Hello)
		fit, leaving     bool // with a share
		joins, joinLeave bool // without
	}{
		{"alike", func(*ccp.Hello) {}, true, false, true, false},
		{"an older sender", func(h *ccp.Hello) { h.Share.Rules = 0 }, true, false, true, false},
		{"other weights", func(h *ccp.Hello) { h.ConfigDigest[0]++ }, true, false, false, false},
		{"other published servers", func(h *ccp.Hello) { h.ConfigDigest[0]++; h.Share.Rules++ }, false, true, false, false},
		{"leaving", func(h *ccp.Hello) { h.Share.Leaving = true }, true, true, true, true},
		{"not fit", func(h *ccp.Hello) { h.Share.Fit = false }, false, false, false, false},
		{"not fit, and other published servers", func(h *ccp.Hello) { h.ConfigDigest[0]++; h.Share.Rules++; h.Share.Fit = false }, false, false, false, false},
		{"another version", func(h *ccp.Hello) { h.Version++ }, false, false, false, false},
		{"another mode", func(h *ccp.Hello) { h.Mode = ccp.ModeLSMulticast }, false, false, false, false},
		{"a daemon that shares no load", func(h *ccp.Hello) { h.Capabilities = 0 }, false, false, false, false},
	} {
		h := ccp.Hello{Version: 1, Mode: ccp.ModeLSUnicast, Capabilities: capabilitySharing, ConfigDigest: own.Digest,
			Share: ccp.ShareView{Fit: true, Rules: 7, Table: versionToWire(shares.Version)}}
		k.change(&h)
		if fit, leaving := sharesWith(&h, &own, 7, shares, 1); fit != k.fit || leaving != k.leaving {
			t.Errorf("%s, with a share: fit %v, leaving %v", k.name, fit, leaving)
		}
		if fit, leaving := sharesWith(&h, &own, 7, none, 1); fit != k.joins || leaving != k.joinLeave {
			t.Errorf("%s, without: fit %v, leaving %v", k.name, fit, leaving)
		}
	}
}

// TestFitWhileConfigurationsDiffer: a member with a share that is DOWN for its configuration alone keeps it.
func TestFitWhileConfigurationsDiffer(t *testing.T) {
	n := sharingNode(t, "gw-a", config.MethodUnicast)
	v := &members.View{State: members.StateDown, Devices: []device.Device{{Name: device.Config, Status: device.Problem},
		{Name: device.ProblemNotification, Status: device.Problem}, {Name: device.Version, Status: device.OK}}}
	if !n.fit(v) {
		t.Error("not fit with another configuration")
	}
	v.Devices[2].Status = device.Problem
	if n.fit(v) {
		t.Error("fit with another version")
	}
	v.Devices[2].Status = device.OK
	n.share.table.Share[n.local.Self.ID] = 0
	if n.fit(v) {
		t.Error("fit to be given a share")
	}
}

// TestSettings: what sorts packets in another way tells configurations apart, what does not is of no account.
func TestSettings(t *testing.T) {
	n := sharingNode(t, "gw-a", config.MethodUnicast)
	print := func() uint64 {
		r := n.steerRules()
		return n.settings(&r)
	}
	first := print()
	n.share.key[0]++
	n.cfg.LoadSharing.Weights, n.cfg.LoadSharing.Adaptive, n.cfg.LoadSharing.BlockNew = []uint16{7, 1}, true, true
	if print() != first {
		t.Error("weights tell apart what sorts alike")
	}
	for name, change := range map[string]func(){
		"kind":      func() { n.cfg.LoadSharing.Key = config.KeyIPs },
		"published": func() { n.cfg.LoadSharing.Published = nil },
		"ports":     func() { n.cfg.LoadSharing.SNATPorts.First++ },
		"method":    func() { n.cfg.LoadSharing.Method = config.MethodMulticast },
		"VIPs":      func() { n.cfg.Interfaces[0].VIPs = nil },
	} {
		before := print()
		if change(); print() == before {
			t.Errorf("the same with another %s", name)
		}
	}
}

// TestTableThatTheGateHasNotGot: HELLOs tell of the table that is in force, and no share opens on an older one than gives it.
func TestTableThatTheGateHasNotGot(t *testing.T) {
	n := sharingNode(t, "gw-a", config.MethodUnicast)
	s := &n.share
	s.table = &steer.Table{Leader: steer.Nobody}
	s.agreement = steer.New(steer.Config{Self: 0, Members: 3, Mode: steer.ModeUnicast, Timing: steer.DefaultTiming(10e6)})
	s.agreement.Step(1, steer.Own{Fence: 7, Grantee: 2})
	given := sampleTable()
	s.agreement.Step(2, steer.TableReceived{From: 2, Table: given})
	if s.agreement.Table() != given {
		t.Fatal("the table is not taken")
	}
	if v := n.shareView(); v.Table != (ccp.SlotVersion{}) || v.Leader != steer.Nobody {
		t.Errorf("tells of %+v of %d, which the gate has not got", v.Table, v.Leader)
	}
	n.sharePerform(3, steer.Share{Term: 7}) // there is no pulse that could be asked
	n.sharePerform(3, steer.Flush{Version: given.Version})
	if s.share != 0 {
		t.Error("its share is open")
	}
	s.table = given
	if v := n.shareView(); v.Table != versionToWire(given.Version) {
		t.Errorf("tells of %+v, want %+v", v.Table, given.Version)
	}
}

// TestSecretGoesWithItsTable: what the agreement does not accept leaves no secret behind, and takes none away from a table that waits.
func TestSecretGoesWithItsTable(t *testing.T) {
	n := sharingNode(t, "gw-a", config.MethodUnicast)
	s := &n.share
	s.agreement = steer.New(steer.Config{Self: 0, Members: 3, Mode: steer.ModeUnicast, Timing: steer.DefaultTiming(10e6)})
	s.agreement.Step(1, steer.Own{Fence: 7, Grantee: 2})
	newer, older := sampleTable(), sampleTable()
	older.Number--
	for _, k := range []struct {
		table *steer.Table
		key   [16]byte
	}{{newer, [16]byte{1}}, {older, [16]byte{2}}, {sampleTable(), [16]byte{3}}} {
		s.offer(k.table, k.key)
		s.agreement.Step(2, steer.TableReceived{From: 2, Table: k.table})
		s.refused(k.table)
	}
	if len(s.offered) != 1 || s.offered[newer] != [16]byte{1} {
		t.Errorf("%d secrets, that of the table that waits is %x", len(s.offered), s.offered[newer])
	}
}

// TestBlindGateIsWarnedOf: operators learn that connections cannot be looked up, and that answers are not noted.
func TestBlindGateIsWarnedOf(t *testing.T) {
	n := sharingNode(t, "gw-a", config.MethodUnicast)
	v := &members.View{}
	before := len(n.loadWarnings(v))
	n.share.rules.Blind = true
	if after := n.loadWarnings(v); len(after) != before+1 {
		t.Errorf("%q", after)
	}
	n.sync.unnoted, n.sync.noted = "full", 65536
	if after := n.loadWarnings(v); len(after) != before+2 {
		t.Errorf("with answers that are not noted: %q", after)
	}
}

// TestNotesAreAnswers: what the sync plane has noted it finds again as it was.
func TestNotesAreAnswers(t *testing.T) {
	a, b := netip.MustParseAddr("198.51.100.7"), netip.MustParseAddr("2001:db8::1")
	for _, answer := range []record.Tuple{
		{Src: a, Dst: a, Proto: 47}, {Src: b, Dst: b, Proto: 50}, {Src: a, Dst: a, Proto: 132, SrcPort: 1, DstPort: 2}, {Src: a, Dst: a, Proto: 47, DstPort: 9},
		{Src: a, Dst: a, Proto: 1, ICMPID: 5}, {Src: b, Dst: b, Proto: 58, ICMPType: 129, ICMPID: 5},
	} {
		if got := answerOf(answerToGate(answer)); got != answer {
			t.Errorf("%+v is noted as %+v", answer, got)
		}
	}
}

// TestPlaneLearnsThatTheShareIsClosed: no other table need come for it, and a table that is on its way is not overtaken.
func TestPlaneLearnsThatTheShareIsClosed(t *testing.T) {
	given := sampleTable()
	told := 0
	s := &sharing{table: given, gaveUp: true, closeAt: 5, applied: closed}
	s.own = func(of *steer.Table) <-chan struct{} {
		if of != given {
			t.Errorf("told of %v", of.Version)
		}
		told++
		return nil
	}
	if s.closes(6, false); told != 0 || s.closeAt != 6+int64(closeAfter) {
		t.Errorf("told %d times, again at %d", told, s.closeAt)
	}
	s.applied = nil
	if s.closes(6, true); told != 0 || s.closeAt != 6+int64(closeAfter) {
		t.Errorf("while the gate is open: told %d times, again at %d", told, s.closeAt)
	}
	if s.closes(7, false); told != 1 || s.closeAt != 0 {
		t.Errorf("told %d times, again at %d", told, s.closeAt)
	}
	if s.reopens(); told != 2 || s.gaveUp {
		t.Errorf("open again: told %d times", told)
	}
	if s.reopens(); told != 2 {
		t.Error("told though nothing is new")
	}
}
