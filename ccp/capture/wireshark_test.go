// SPDX-License-Identifier: Apache-2.0

package capture

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"

	"github.com/holdfast-project/holdfast/ccp"
	"github.com/holdfast-project/holdfast/internal/labtest"
)

// dissect lets tshark read packets with docs/ccp.lua and returns, per packet, the values of every CCP field.
func dissect(t *testing.T, packets [][]byte, options ...string) []map[string][]string {
	t.Helper()
	labtest.Require(t, "tshark")
	file := filepath.Join(t.TempDir(), "ccp.pcap")
	out, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	w := pcapgo.NewWriter(out)
	if err := w.WriteFileHeader(65536, layers.LinkTypeEthernet); err != nil {
		t.Fatal(err)
	}
	for _, p := range packets {
		info := gopacket.CaptureInfo{Timestamp: time.Unix(1, 0), CaptureLength: len(p), Length: len(p)}
		if err := w.WritePacket(info, p); err != nil {
			t.Fatal(err)
		}
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
	var stderr bytes.Buffer
	cmd := exec.Command("tshark", append([]string{"-X", "lua_script:../../docs/ccp.lua", "-r", file, "-T", "json", "--no-duplicate-keys"}, options...)...)
	cmd.Env = append(os.Environ(), "HOME="+t.TempDir()) // nobody's preferences or plugins
	cmd.Stderr = &stderr
	text, err := cmd.Output()
	if err != nil || strings.Contains(stderr.String(), "Lua") {
		t.Fatalf("tshark: %v\n%s", err, stderr.Bytes())
	}
	var parsed []struct {
		Source struct {
			Layers map[string]any `json:"layers"`
		} `json:"_source"`
	}
	if err := json.Unmarshal(text, &parsed); err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	var all []map[string][]string
	for _, p := range parsed {
		fields := map[string][]string{}
		flatten(fields, "", p.Source.Layers["holdfast"])
		all = append(all, fields)
	}
	if len(all) != len(packets) {
		t.Fatalf("tshark shows %d of %d packets", len(all), len(packets))
	}
	return all
}

// flatten collects the leaves of tshark's tree by field name.
func flatten(into map[string][]string, name string, v any) {
	switch v := v.(type) {
	case string:
		into[name] = append(into[name], v)
	case []any:
		for _, e := range v {
			flatten(into, name, e)
		}
	case map[string]any:
		for k, e := range v {
			flatten(into, k, e)
		}
	}
}

// expectFields compares the fields named with what tshark shows.
func expectFields(t *testing.T, what string, got map[string][]string, want map[string]string) {
	t.Helper()
	for name, value := range want {
		if s := strings.Join(got["holdfast."+name], " "); s != value {
			t.Errorf("%s: holdfast.%s is %q, want %q", what, name, s, value)
		}
	}
}

func TestWiresharkGateFrames(t *testing.T) {
	probe := ccp.AppendProbe(nil, func() ccp.Header { h := header(); h.Flags = ccp.FlagQuery; return h }(),
		ccp.Probe{Nonce: 0x1122334455667788, Term: 7, Group: 3, Bits: ccp.BitAnswer | ccp.BitHearsYou}, gateKey)
	yield := ccp.AppendYield(nil, header(), ccp.Yield{Term: 8, Kind: ccp.YieldCourtesy, MinAgeMs: 100}, gateKey)
	reply := ccp.AppendReply(nil, header(), ccp.Reply{
		LeaseAgeMs: ccp.NoLease, FenceTerm: 9, Grantee: ccp.Nobody, Result: ccp.ResultRefused, Heard: [8]uint8{0, 1, 255}, Closed: 1 << 31,
	}, gateKey)
	forged := bytes.Clone(probe)
	forged[60] ^= 1
	version := bytes.Clone(probe)
	version[0] = 2
	got := dissect(t, [][]byte{ether(probe), ether(yield), ether(reply), ether(forged), ether(version), ether(probe[:30])},
		"-o", "holdfast.key:"+hex.EncodeToString(key[:]))
	expectFields(t, "probe", got[0], map[string]string{
		"version": "1", "type": "1", "flags.query": "1", "key": "1", "cluster": "258", "source": "1", "target": "2", "length": "48",
		"incarnation": "0xa1a2a3a4a5a6a7a8", "sequence": "11806310404660", "echo_incarnation": "0xb1b2b3b4b5b6b7b8",
		"echo_stamp": "11806310404096", "tag.status": "1", "nonce": "0x1122334455667788", "term": "7", "group": "3",
		"bits": "0x09", "bits.answer": "1", "bits.hears_you": "1", "bits.alone": "0",
	})
	expectFields(t, "yield", got[1], map[string]string{"type": "3", "term": "8", "kind": "1", "min_age": "100", "tag.status": "1"})
	expectFields(t, "reply", got[2], map[string]string{
		"type": "2", "lease_age": "65535", "fence": "9", "grantee": "255", "result": "2", "closed": "2147483648", "tag.status": "1",
		"heard": "0 1 255 0 0 0 0 0",
	})
	expectFields(t, "forged", got[3], map[string]string{"tag.status": "2"})
	for i, name := range []string{"", "", "", "holdfast.tag.bad", "holdfast.malformed"} {
		flagged := got[i]["holdfast.tag.bad"] != nil || got[i]["holdfast.malformed"] != nil
		if flagged != (name != "") || (name != "" && got[i][name] == nil) {
			t.Errorf("packet %d: want the flag %q in %v", i, name, got[i])
		}
	}
	got = dissect(t, [][]byte{ether(forged)})
	expectFields(t, "without the key", got[0], map[string]string{"tag.status": "0"})
}

func TestWiresharkOpensHello(t *testing.T) {
	frame := sealedHello()
	broken := bytes.Clone(frame)
	broken[len(broken)-1] ^= 1
	other := ccp.ClusterKey{99}
	got := dissect(t, [][]byte{ether(frame), ether(broken)}, "-o", fmt.Sprintf("holdfast.key:7:%x,1:%x", other[:], key[:]))
	expectFields(t, "hello", got[0], map[string]string{
		"type": "16", "tag.status": "1", "seal.status": "1", "state": "5", "term": "77", "build": "v0.1", "protocol": "1",
		"echo.member": "0", "echo.incarnation": "0xc1c2c3c4c5c6c7c8", "echo.sequence": "209",
		"view.state": "0 0 3 0 0 0 0 0", "view.hello_age": "0 0 99 0 0 0 0 0",
		"interface.slot": "1", "interface.carrier": "1", "interface.problem": "0", "interface.heard": "0x05", "interface.in_age": "12",
		"device.name": "policy", "device.status": "3", "device.reason": "no policy", "forced.to": "255", "keys.using": "1",
		"keys.fingerprint": fmt.Sprintf("0x%016x", key.Fingerprint(cluster)),
	})
	expectFields(t, "broken", got[1], map[string]string{"tag.status": "1", "seal.status": "2", "state": ""})
	if got[1]["holdfast.seal.bad"] == nil {
		t.Errorf("the broken seal is not flagged: %v", got[1])
	}
	got = dissect(t, [][]byte{ether(frame)})
	expectFields(t, "without the key", got[0], map[string]string{"seal.status": "0", "state": "", "sealed": colons(frame[ccp.HeaderLen:])})
	got = dissect(t, [][]byte{ether(frame)}, "-o", fmt.Sprintf("holdfast.key:%x", other[:]))
	expectFields(t, "with another key", got[0], map[string]string{"tag.status": "2", "seal.status": "2", "state": ""})
}

func TestWiresharkOpensSlots(t *testing.T) {
	h := header()
	h.Type = ccp.TypeSlots
	table := ccp.Slots{SlotVersion: ccp.SlotVersion{Term: 7, Number: 8, Phase: ccp.SlotsCommit}, Share: [8]uint32{7, 7, 9}, Key: [16]byte{0xab}}
	table.Entry[0] = 0x51
	frame := ccp.NewSealer(key, 1, cluster, 1, h.Incarnation).Seal(nil, h, table.Append([]byte{0}))
	hello := sampleHello()
	hello.Share = ccp.ShareView{Table: ccp.SlotVersion{Term: 7, Number: 8, Phase: ccp.SlotsPrepare}, Leader: 2, Term: 6, Open: true, Leaving: true,
		Follows: 2, Serial: 5, By: 1, Weight: [8]uint16{30, 70}, Rules: 0x1a2a3a4a5a6a7a8a}
	hello.Traffic = ccp.TrafficView{Taken: 11, Bytes: 12, Passed: 13, Corrected: 14, PassedIn: 15, Duplicates: 16, Unknown: 17, Foreign: 18}
	h = header()
	h.Type = ccp.TypeHello
	told := ccp.NewSealer(key, 1, cluster, 1, h.Incarnation).Seal(nil, h, hello.Append([]byte{0}))
	got := dissect(t, [][]byte{ether(frame), ether(told)}, "-o", fmt.Sprintf("holdfast.key:%x", key[:]))
	expectFields(t, "slots", got[0], map[string]string{
		"type": "19", "seal.status": "1", "slots.term": "7", "slots.number": "8", "slots.phase": "2", "share.term": "7 7 9 0 0 0 0 0",
		"slots.key": "ab:" + strings.Repeat("00:", 14) + "00",
	})
	expectFields(t, "hello", got[1], map[string]string{
		"seal.status": "1", "slots.term": "7", "slots.number": "8", "slots.phase": "1", "slots.leader": "2", "share.term": "6", "share.open": "1", "share.flushed": "0",
		"share.leaving": "1", "share.dropped": "0", "share.follows": "2", "share.serial": "5", "share.by": "1", "share.ordered": "0", "share.fit": "0", "share.weight": "30 70 0 0 0 0 0 0", "share.rules": "0x1a2a3a4a5a6a7a8a",
		"traffic.taken": "11", "traffic.bytes": "12", "traffic.passed": "13", "traffic.corrected": "14", "traffic.passed_in": "15",
		"traffic.duplicates": "16", "traffic.unknown": "17", "traffic.foreign": "18",
	})
}

func TestWiresharkOpensPolicy(t *testing.T) {
	seal := func(sequence uint64, body []byte) []byte {
		h := header()
		h.Type = ccp.TypePolicy
		h.Sequence += sequence
		return ether(ccp.NewSealer(key, 1, cluster, 1, h.Incarnation).Seal(nil, h, append([]byte{0}, body...)))
	}
	attempt := ccp.PolicyAttempt{Number: 7, Generation: 8, Digest: [32]byte{0xab}}
	whole := seal(0, ccp.Policy{
		ccp.PolicyWant{Digest: [32]byte{1}, What: 2, Ranges: []ccp.PolicyRange{{Offset: 3, Length: 4}, {Offset: 5, Length: 6}}},
		ccp.PolicyData{Digest: [32]byte{1}, What: 9, Total: 100, Offset: 50, Bytes: []byte{1, 2}},
		ccp.PolicyNone{Digest: [32]byte{2}},
		ccp.PolicyAsked{Attempt: attempt},
		ccp.PolicyTold{Attempt: attempt, Decision: ccp.PolicyRolledBack, Generation: 6, Digest: [32]byte{3}},
	}.Append(nil))
	h := header()
	h.Type = ccp.TypeHello
	hello := sampleHello()
	hello.Policy = ccp.PolicyView{Digest: [32]byte{3}, Attempt: attempt, State: ccp.PolicyPrepared, Decision: ccp.PolicyAbort, Highest: 12}
	told := ether(ccp.NewSealer(key, 1, cluster, 1, h.Incarnation).Seal(nil, h, hello.Append([]byte{0})))
	packets := [][]byte{
		whole, told,
		seal(1, []byte{99, 0, 0, 1, 3}),                           // a kind to come: no fault
		seal(2, []byte{3, 0, 0, 200, 3}),                          // over the end
		seal(3, []byte{5, 0, 0, 2, 3, 4}),                         // too short
		seal(4, append([]byte{1, 0, 0, 36}, make([]byte, 36)...)), // half a range
	}
	got := dissect(t, packets, "-o", fmt.Sprintf("holdfast.key:%x", key[:]))
	zeros := strings.Repeat(":00", 31)
	expectFields(t, "policy", got[0], map[string]string{
		"type": "20", "seal.status": "1", "policy.what": "2 9", "policy.offset": "3 5 50", "policy.length": "4 6", "policy.total": "100", "policy.bytes": "01:02",
		"policy.digest": "01" + zeros + " 01" + zeros + " 02" + zeros + " 03" + zeros, "attempt.number": "7 7", "attempt.generation": "8 8", "attempt.decision": "4",
		"policy.generation": "6",
	})
	expectFields(t, "hello", got[1], map[string]string{"attempt.number": "7", "attempt.generation": "8", "attempt.digest": "ab" + zeros, "attempt.state": "2",
		"attempt.decision": "2", "policy.digest": "03" + zeros, "policy.highest": "12"})
	for i, fields := range got {
		if flagged := fields["holdfast.malformed"] != nil; flagged != (i > 2) {
			t.Errorf("packet %d: malformed %v: %v", i, flagged, fields)
		}
	}
}

// sealedSync is a SYNC from member 1 with these parts.
func sealedSync(body []byte) []byte {
	h := header()
	h.Type = ccp.TypeSync
	return ccp.NewSealer(key, 1, cluster, 1, h.Incarnation).Seal(nil, h, append([]byte{0}, body...))
}

// record lays out a record as package record does.
func record(table, op, family byte, attrs []byte) []byte {
	b := binary.BigEndian.AppendUint16(nil, uint16(8+len(attrs)))
	b = append(append(b, table, op, family, 0, 0, 0), attrs...)
	return append(b, make([]byte, -len(b)&3)...)
}

func TestWiresharkOpensSync(t *testing.T) {
	delta := ccp.SyncStatus{Role: ccp.SyncOwner, Current: true, Evicted: true, Losses: 3, Term: 7, Entries: 5, Digest: 0xd1}.Append(nil)
	delta = ccp.SyncBatch{Lane: ccp.LaneDelta, Log: 0xa1, Sequence: 12, Floor: 3, Records: bytes.Join([][]byte{
		record(1, 1, 2, []byte{1, 2, 3, 4, 5}),
		record(4, 1, 0, []byte{0, 0, 0, 0, 0, 0, 0, 6, 0, 0, 0, 0, 0, 0, 0, 7}),
	}, nil)}.Append(delta)
	delta = ccp.SyncAck{Lane: ccp.LaneBulk, Log: 9, Next: 40, Ranges: []ccp.SyncRange{{First: 42, Last: 44}, {First: 50, Last: 50}}}.Append(delta)
	delta = ccp.SyncCredit{Log: 9, Limit: 1 << 20}.Append(delta)

	bulk := ccp.SyncBatch{Lane: ccp.LaneBulk, Log: 2, Sequence: 1, Floor: 1, Records: bytes.Join([][]byte{
		ccp.AppendSyncWords(nil, 1022, []ccp.SyncWord{{Xor: 0xe1, Count: 3}, {Xor: 0xe2, Count: 4}}),
		ccp.SyncEnd{Position: 99, Records: 8, Complete: true}.Append(nil),
	}, nil)}.Append(nil)
	request := &ccp.SyncRequest{Log: 3, Want: ccp.SyncWantRepair, Through: 77, Limit: 65536}
	request.Buckets.Add(1)
	request.Table = ccp.SyncTable{Rules: 0xf1, Term: 31, Number: 32, Commit: true}
	bulk = request.Append(bulk)
	bulk = ccp.SyncGap{Lane: ccp.LaneDelta, Log: 0xa2, Ranges: []ccp.SyncRange{{First: 4, Last: 5}}}.Append(bulk)
	bulk = ccp.SyncAnswer{Log: 4, Result: ccp.SyncBusy, Records: 11}.Append(bulk)

	var packer ccp.SyncPacker
	records := packer.Begin(nil)
	for _, r := range [][]byte{record(1, 1, 2, []byte{1, 2, 3, 4, 5, 6, 7, 8, 9}), record(1, 2, 2, []byte{1, 2, 3, 4, 5, 6, 7, 9, 9}), record(3, 3, 0, []byte{1})} {
		records, _ = packer.Append(records, r, 1000)
	}
	packed := ccp.SyncBatch{Lane: ccp.LaneDelta, Log: 0xa1, Sequence: 12, Floor: 3, Records: records}.Append(nil)

	hello := sampleHello()
	hello.Sync = ccp.SyncView{
		Incarnation: 0xc1, Role: ccp.SyncCopy, AtRisk: true, Entries: 21, Digest: 0xd2, LagRecords: 22, LagMs: 23, Sequence: 24,
	}
	hello.FlushAsk, hello.Flushed = 25, 26
	hd := header()
	hd.Type = ccp.TypeHello
	sealed := ccp.NewSealer(key, 1, cluster, 1, hd.Incarnation).Seal(nil, hd, hello.Append([]byte{0}))

	got := dissect(t, [][]byte{ether(sealedSync(delta)), ether(sealedSync(bulk)), ether(sealed), ether(sealedSync(packed))}, "-o", fmt.Sprintf("holdfast.key:%x", key[:]))
	expectFields(t, "delta", got[0], map[string]string{
		"type": "18", "seal.status": "1", "sync.role": "1", "sync.current": "1", "sync.stopping": "0", "sync.evicted": "1", "sync.losses": "3", "term": "7",
		"sync.entries": "5", "sync.digest": "0x00000000000000d1", "batch": "12", "floor": "3", "record.table": "1 4", "record.op": "1 1",
		"record.family": "2 0", "record.attributes": "01:02:03:04:05", "mark.entries": "6", "mark.digest": "0x0000000000000007",
		"lane": "0 1 2 2", "next": "40", "range.first": "42 50", "range.last": "44 50", "limit": "1048576",
	})
	expectFields(t, "bulk", got[1], map[string]string{
		"lane": "2 2 1 2", "record.table": "16 17", "word.bucket": "1022 1023", "word.xor": "0x00000000000000e1 0x00000000000000e2",
		"word.count": "3 4", "end.position": "99", "end.records": "8", "end.complete": "1", "want": "2", "through": "77",
		"limit": "65536", "buckets": colons(request.Buckets[:]), "range.first": "4", "answer": "2", "answer.records": "11",
		"slots.rules": "0x00000000000000f1", "slots.term": "31", "slots.number": "32", "slots.commit": "1",
	})
	expectFields(t, "hello", got[2], map[string]string{
		"sync.incarnation": "0x00000000000000c1", "sync.role": "2", "sync.current": "0", "sync.at_risk": "1", "sync.entries": "21",
		"sync.digest": "0x00000000000000d2", "sync.lag_records": "22", "sync.lag": "23", "sync.newest": "24", "build": "v0.1",
		"sync.flush_ask": "25", "sync.flushed": "26",
	})
	expectFields(t, "packed", got[3], map[string]string{
		"batch": "12", "record.table": "1 1 3", "record.op": "1 2 3", "record.family": "2 2 0",
		"record.attributes": "01:02:03:04:05:06:07:08:09 01:02:03:04:05:06:07:09:09 01",
	})
	for i := range got {
		if got[i]["holdfast.malformed"] != nil {
			t.Errorf("packet %d is flagged: %v", i, got[i])
		}
	}
}

// TestWiresharkHostileSync: as with HELLOs.
func TestWiresharkHostileSync(t *testing.T) {
	batch := func(records ...byte) []byte {
		return ccp.SyncBatch{Lane: ccp.LaneDelta, Log: 1, Sequence: 1, Floor: 1, Records: records}.Append(nil)
	}
	bodies := [][]byte{
		{1, 0, 0, 1, 3},                                // too short a status
		{1, 0, 0, 200, 3},                              // a part over the end
		batch(0, 200, 1, 1, 2, 0, 0, 0, 1, 2),          // a record over the end
		batch(0, 0, 1, 1, 2, 0, 0, 0, 1, 2),            // a record without an end
		batch(record(16, 0, 0, []byte{0, 1, 2, 3})...), // half a word
		batch(record(17, 0, 0, []byte{0, 1, 2, 3})...), // half an end
		batch(255, 3, 1, 0, 1),                         // a packed record over the end
		append(ccp.SyncGap{Lane: 1, Log: 1}.Append(nil)[:3], 12, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5), // half a range
		{99, 0, 0, 1, 3}, // a kind to come: no fault
		batch(record(99, 0, 0, []byte{0, 1, 2})...), // a table to come: no fault
	}
	var packets [][]byte
	for _, body := range bodies {
		packets = append(packets, ether(sealedSync(body)))
	}
	got := dissect(t, packets, "-o", fmt.Sprintf("holdfast.key:%x", key[:]))
	for i, fields := range got {
		if flagged := fields["holdfast.malformed"] != nil; flagged != (i < 8) || !slices.Equal(fields["holdfast.seal.status"], []string{"1"}) {
			t.Errorf("packet %d: malformed %v: %v", i, flagged, fields)
		}
	}
}

// TestWiresharkHostileHello: a member that holds the key may write anything; the dissector flags it and goes on.
func TestWiresharkHostileHello(t *testing.T) {
	var packets [][]byte
	bodies := [][]byte{
		{0, 2, 0, 1, 3},                               // entries too short
		{0, 4, 0, 4, 0, 3, 200, 'a'},                  // a device's name over the end
		{0, 7, 0, 200, 1, 1},                          // a TLV over the end
		{0, 1, 0, 1, 1},                               // too short a value
		{0, 8, 0, 5, 0, 0, 0, 0, 9, 0, 7, 0, 2, 1, 2}, // a text over the end, and a TLV after it
		{0x7f, 0xff, 0, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, // an unknown TLV: no fault
	}
	for i, body := range bodies {
		h := header()
		h.Type = ccp.TypeHello
		h.Sequence += uint64(i)
		packets = append(packets, ether(ccp.NewSealer(key, 1, cluster, 1, h.Incarnation).Seal(nil, h, append([]byte{0}, body...))))
	}
	got := dissect(t, packets, "-o", fmt.Sprintf("holdfast.key:%x", key[:]))
	for i, fields := range got {
		if flagged := fields["holdfast.malformed"] != nil; flagged != (i < 5) || !slices.Equal(fields["holdfast.seal.status"], []string{"1"}) {
			t.Errorf("packet %d: malformed %v: %v", i, flagged, fields)
		}
	}
	expectFields(t, "after a malformed TLV", got[4], map[string]string{"mode": "1"})
}

func TestWiresharkEtherType(t *testing.T) {
	p := ether(ccp.AppendProbe(nil, header(), ccp.Probe{Nonce: 1}, gateKey))
	p[12], p[13] = 0x88, 0xb6
	got := dissect(t, [][]byte{p}, "-o", fmt.Sprint("holdfast.ethertype:", 0x88b6))
	expectFields(t, "another EtherType", got[0], map[string]string{"type": "1"})
}

// colons writes bytes as tshark does.
func colons(b []byte) string {
	var parts []string
	for _, c := range b {
		parts = append(parts, fmt.Sprintf("%02x", c))
	}
	return strings.Join(parts, ":")
}
