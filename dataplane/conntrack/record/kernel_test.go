// SPDX-License-Identifier: Apache-2.0

package record

import (
	"encoding/binary"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/holdfast-project/holdfast/dataplane/link/linktest"
	"github.com/holdfast-project/holdfast/internal/labtest"
)

// types lists the outermost attributes.
func types(b []byte) (ts []uint16) {
	for len(b) > 0 {
		typ, _, rest, _ := next(b)
		ts = append(ts, typ&nlaTypeMask)
		b = rest
	}
	return ts
}

func TestWordsForTheKernel(t *testing.T) {
	r := fullConnection(t)
	if got, want := types(r.AppendCreate([]byte{})), types(r.Attrs); !slices.Equal(got, want) {
		t.Errorf("create: %v, want %v", got, want)
	}
	if got := types(r.AppendUpdate(nil)); !slices.Equal(got, []uint16{1, 3, 7, 4, 8, 18, 22, 15, 16, 24, 5}) {
		t.Errorf("update: %v", got)
	}
	if got := types(r.AppendDelete(nil)); !slices.Equal(got, []uint16{1, 18}) {
		t.Errorf("delete: %v", got)
	}
	if got := r.AppendMaster([]byte{7}); !slices.Equal(got, []byte{7}) {
		t.Errorf("a connection has no expectation's master: %v", got)
	}
	e := find(t, "ftp-snat", func(r Record) bool { return r.Table == TableExpectations && r.Op == OpNew })
	for name, test := range map[string]struct {
		got  []byte
		want []uint16
	}{
		"create": {e.AppendCreate(nil), []uint16{2, 3, 1, 4, 8, 9, 11, 10}},
		"create of SIP": {
			Record{Table: e.Table, Attrs: with(e.Attrs, ctaExpectHelpName, str(ctaExpectHelpName, "sip\x00"))}.AppendCreate(nil), types(e.Attrs),
		},
		"update": {e.AppendUpdate(nil), []uint16{2, 3, 1, 4}},
		"delete": {e.AppendDelete(nil), []uint16{2}}, "master": {e.AppendMaster(nil), []uint16{1}},
	} {
		if got := types(test.got); !slices.Equal(got, test.want) {
			t.Errorf("%s of an expectation: %v, want %v", name, got, test.want)
		}
	}
	// Its master is the control connection.
	control := find(t, "ftp-snat", func(r Record) bool { return r.Table == TableConnections && r.Op == OpNew })
	if got, want := attribute(e.AppendMaster(nil), ctaTupleOrig), attribute(control.Attrs, ctaTupleOrig); !slices.Equal(got, want) {
		t.Errorf("master %x, want %x", got, want)
	}
}

// TestExpectedStatus: EXPECTED is the kernel's to set when an entry is created, and must be there when it is changed.
func TestExpectedStatus(t *testing.T) {
	r := find(t, "ftp-snat", func(r Record) bool { return attribute(r.Attrs, ctaTupleMaster) != nil })
	if s := binary.BigEndian.Uint32(attribute(r.AppendUpdate(nil), ctaStatus)); s&statusExpected == 0 {
		t.Errorf("update: %#x", s)
	}
	if s := binary.BigEndian.Uint32(attribute(r.AppendCreate(nil), ctaStatus)); s&statusExpected != 0 || s&statusConfirmed == 0 {
		t.Errorf("create: %#x", s)
	}
}

// TestStateless creates TCP connections of updates that tell no state, in a kernel: it has the state that the status tells, and is liberal.
func TestStateless(t *testing.T) {
	labtest.Require(t)
	k := openKernel(t, linktest.New(t), 0)
	for i, test := range []struct {
		status uint32
		want   uint8
	}{{0, tcpSynSent}, {statusSeenReply, tcpSynReceived}, {statusSeenReply | statusAssured, tcpEstablished}} {
		r := connection(protoTCP, "192.0.2.1", "192.0.2.2", uint16(i+1), 9)
		binary.BigEndian.PutUint32(attribute(r.Attrs, ctaStatus), test.status|statusConfirmed)
		create(t, k, r)
	}
	states := map[uint16]tcpState{}
	for _, m := range k.dump(1) {
		var a raw
		if err := a.collect(m.payload[nfgenmsgLen:], ^uint64(0)); err != nil {
			t.Fatal(err)
		}
		_, value, _, _ := next(a.value(ctaProtoinfo))
		var s tcpState
		if reason := s.parse(value); reason != ReasonNone {
			t.Fatal(reason)
		}
		o, _ := Original(recordOf(t, m))
		states[o.SrcPort] = s
	}
	for port, want := range []uint8{1: tcpSynSent, tcpSynReceived, tcpEstablished} {
		s := states[uint16(port)]
		if s.state != want || port > 0 && (s.flags[0]&s.flags[1]&tcpLiberal == 0) {
			t.Errorf("port %d: %+v, want state %d", port, s, want)
		}
	}
	// A SCTP or UDP connection needs no such word.
	udp := connection(protoUDP, "192.0.2.1", "192.0.2.2", 1, 9)
	if got := types(udp.AppendCreate(nil)); slices.Contains(got, ctaProtoinfo) {
		t.Errorf("UDP: %v", got)
	}
	if err := k.ask(newType(udp), unix.NLM_F_CREATE, udp.Family, udp.AppendCreate(nil)); err != nil {
		t.Error(err)
	}
}
