// SPDX-License-Identifier: Apache-2.0

package ccp

import (
	"bytes"
	"encoding/binary"
	"reflect"
	"testing"
)

// Threat model of the fuzzers. FuzzHeader and FuzzGateBodies take bytes from anybody on the segment. FuzzOpen takes frames from
// anybody, and plaintexts from a member that holds the key and behaves arbitrarily, as the others do: such a member may
// lie, but must not bring another one down. For all of them: no panic, and what was decoded encodes to something that decodes to the
// same (reserved bytes and unknown TLVs are lost on the first turn, nothing on the second).

func FuzzHeader(f *testing.F) {
	f.Add(AppendProbe(nil, testHeader(TypeProbe), Probe{Nonce: 1}, testGateKey))
	f.Add(newDaemon(1, 200).frame(1, All, "body"))
	f.Add([]byte{1, 16, 0, 0, 0, 0, 0, 0, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, b []byte) {
		VerifyTag(b, testGateKey)
		h, err := ParseHeader(b)
		if err != nil {
			if h != (Header{}) {
				t.Fatalf("a header beside the error %v", err)
			}
			return
		}
		if len(h.Body(b)) != int(h.Length) {
			t.Fatal("body of another length")
		}
		again := append(appendHeader(nil, h), h.Body(b)...)
		if h2, err := ParseHeader(again); err != nil || h2 != h {
			t.Fatalf("%+v, then %+v, %v", h, h2, err)
		}
	})
}

func FuzzGateBodies(f *testing.F) {
	h := testHeader(TypeProbe)
	f.Add(AppendProbe(nil, h, Probe{Nonce: 1, Term: 2, Group: 3, Bits: 4}, testGateKey)[HeaderLen:])
	f.Add(AppendYield(nil, h, Yield{Kind: YieldGraceful, MinAgeMs: 100}, testGateKey)[HeaderLen:])
	f.Add(AppendReply(nil, h, Reply{LeaseAgeMs: NoLease, Grantee: Nobody, Result: ResultRefused}, testGateKey)[HeaderLen:])
	f.Fuzz(func(t *testing.T, body []byte) {
		if p, err := ParseProbe(body); err == nil {
			frame := AppendProbe(nil, h, p, testGateKey)
			if p2, err := ParseProbe(frame[HeaderLen:]); err != nil || p2 != p || !VerifyTag(frame, testGateKey) {
				t.Fatalf("%+v, then %+v, %v", p, p2, err)
			}
		}
		if y, err := ParseYield(body); err == nil {
			frame := AppendYield(nil, h, y, testGateKey)
			if y2, err := ParseYield(frame[HeaderLen:]); err != nil || y2 != y || !VerifyTag(frame, testGateKey) {
				t.Fatalf("%+v, then %+v, %v", y, y2, err)
			}
		}
		if r, err := ParseReply(body); err == nil {
			_ = r.Result.String()
			frame := AppendReply(nil, h, r, testGateKey)
			if r2, err := ParseReply(frame[HeaderLen:]); err != nil || r2 != r || !VerifyTag(frame, testGateKey) {
				t.Fatalf("%+v, then %+v, %v", r, r2, err)
			}
		}
	})
}

func FuzzHello(f *testing.F) {
	full, empty := fullHello(), Hello{}
	f.Add(full.Append(nil))
	f.Add(empty.Append(nil))
	f.Add([]byte{0, 4, 0, 4, 0, 3, 1, 'a'})
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := ParseHello(b)
		if err != nil {
			return
		}
		again := h.Append(nil)
		if len(again)+MaxEchoOneLen > MaxPlainLen {
			t.Fatalf("%d bytes do not fit into a frame", len(again))
		}
		h2, err := ParseHello(again)
		if err != nil || !reflect.DeepEqual(h2, h) {
			t.Fatalf("%+v, then %+v, %v", h, h2, err)
		}
		if third := h2.Append(nil); !bytes.Equal(third, again) {
			t.Fatalf("%x, then %x", again, third)
		}
	})
}

func FuzzSlots(f *testing.F) {
	full := fullSlots()
	f.Add(full.Append(nil))
	f.Add(append([]byte{0, 9, 0, 1, 1}, full.Append(nil)[:60]...))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := ParseSlots(b)
		if err != nil {
			if s != (Slots{}) {
				t.Fatalf("a table beside the error %v", err)
			}
			return
		}
		again := s.Append(nil)
		if len(again)+MaxEchoOneLen > MaxPlainLen {
			t.Fatalf("%d bytes do not fit into a frame", len(again))
		}
		if s2, err := ParseSlots(again); err != nil || s2 != s {
			t.Fatalf("%+v, then %+v, %v", s, s2, err)
		}
	})
}

func FuzzPolicy(f *testing.F) {
	f.Add(fullPolicy().Append(nil))
	f.Add(append([]byte{99, 0, 0, 1, 1}, fullPolicy().Append(nil)[:60]...))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := ParsePolicy(b)
		if err != nil {
			if p != nil {
				t.Fatalf("parts beside the error %v", err)
			}
			return
		}
		again := p.Append(nil)
		if len(again) > len(b) || len(again) != p.Len() {
			t.Fatalf("%d bytes became %d, said to be %d", len(b), len(again), p.Len())
		}
		if p2, err := ParsePolicy(again); err != nil || !reflect.DeepEqual(p2, p) {
			t.Fatalf("%+v, then %+v, %v", p, p2, err)
		}
	})
}

func FuzzSync(f *testing.F) {
	var all []byte
	for _, part := range syncParts() {
		f.Add(appendSync(nil, part))
		all = appendSync(all, part)
	}
	f.Add(all)
	f.Add(append([]byte{99, 1, 0, 2, 1, 2}, all[:40]...))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > MaxSyncLen {
			return
		}
		for rest := b; ; {
			p, next, err := NextSync(rest)
			if err != nil || p.Kind == 0 {
				return
			}
			if len(p.Value)+SyncPartHead+len(next) != len(rest) {
				t.Fatalf("%v: %d bytes and %d behind, of %d", p.Kind, len(p.Value), len(next), len(rest))
			}
			rest = next
			_, _ = p.Kind.String(), p.Lane.String()
			part, err := readSync(p)
			if err != nil || part == nil {
				continue
			}
			again := appendSync(nil, part)
			if len(again) > SyncPartHead+len(p.Value) {
				t.Fatalf("%d bytes became %d", len(p.Value), len(again))
			}
			p2, left, err := NextSync(again)
			if err != nil || len(left) != 0 {
				t.Fatalf("%x, %d bytes left", again, len(left))
			}
			part2, err := readSync(p2)
			if err != nil || !reflect.DeepEqual(part2, part) {
				t.Fatalf("%+v, then %+v, %v", part, part2, err)
			}
		}
	})
}

func FuzzSyncRecords(f *testing.F) {
	f.Add(AppendSyncWords(nil, 1, []SyncWord{{1, 2}, {3, 4}}))
	f.Add(SyncEnd{Position: 1, Records: 2, Complete: true}.Append(AppendSyncWords(nil, 1023, []SyncWord{{1, 2}})))
	f.Fuzz(func(t *testing.T, b []byte) {
		var words [SyncBuckets]SyncWord
		for rest := b; len(rest) > 0; {
			r, next, err := NextSyncRecord(rest)
			if err != nil {
				return
			}
			if len(r.Bytes)+len(next) != len(rest) || len(r.Bytes) < SyncRecordHead+len(r.Attrs) {
				t.Fatalf("%d bytes and %d behind, of %d", len(r.Bytes), len(next), len(rest))
			}
			rest = next
			if first, end, err := ParseSyncWords(r.Attrs, &words); err == nil && end-first <= MaxSyncWords {
				again, _, err := NextSyncRecord(AppendSyncWords(nil, first, words[first:end]))
				if err != nil || !bytes.Equal(again.Attrs, r.Attrs) {
					t.Fatalf("%x, then %x, %v", r.Attrs, again.Attrs, err)
				}
			}
			if e, err := ParseSyncEnd(r.Attrs); err == nil {
				again, _, err := NextSyncRecord(e.Append(nil))
				if err != nil {
					t.Fatal(err)
				}
				if e2, err := ParseSyncEnd(again.Attrs); err != nil || e2 != e {
					t.Fatalf("%+v, then %+v, %v", e, e2, err)
				}
			}
		}
	})
}

// FuzzOpen plays a script against an Opener: frames as they are, and plaintexts that a member seals.
func FuzzOpen(f *testing.F) {
	f.Add(uint64(200), uint64(1), []byte{0}, newDaemon(1, 200).frame(1, All, "body"))
	f.Add(uint64(0), uint64(1<<64-1), []byte{200, 1}, []byte{})
	f.Add(uint64(201), uint64(2), newDaemon(1, 201).o.AppendEcho(nil, All), AppendProbe(nil, testHeader(TypeProbe), Probe{}, testGateKey))
	f.Fuzz(func(t *testing.T, incarnation, sequence uint64, plain, raw []byte) {
		a, b := newDaemon(0, 100), newDaemon(1, 200)
		now := greet(t, 0, a, b)
		if o, _ := a.o.Open(now, raw, nil); o.Bound {
			t.Fatalf("raw bytes are bound: %+v", o)
		}
		s := NewSealer(oldKey.Key, oldKey.Number, openCluster, 1, incarnation)
		for turn := range uint64(3) {
			frame := s.Seal(nil, Header{Type: TypeHello, Target: All, Sequence: sequence + turn}, plain)
			if len(frame) == 0 {
				return
			}
			o, reason := a.o.Open(now, frame, nil)
			_ = reason.String()
			if reason != DropNone {
				continue
			}
			if o.Bound && !bytes.Contains(plain, binary.BigEndian.AppendUint64(nil, 100)) {
				t.Fatal("bound without an echo of this incarnation")
			}
			if _, reason := a.o.Open(now, frame, nil); reason != DropReplay && reason != DropOld && incarnation != 0 {
				if _, known := a.o.peers[1].find(incarnation); known {
					t.Fatalf("a second time: %v", reason)
				}
			}
			padded := append(plain[:len(plain):len(plain)], make([]byte, max(0, minPlainLen-len(plain)))...)
			if _, _, err := ParseEchoes(padded); err != nil {
				t.Fatalf("taken, and yet %v", err)
			}
			if len(o.Body) > MaxPlainLen {
				t.Fatal("a body longer than a frame")
			}
			_, _ = ParseHello(o.Body)
		}
	})
}

// FuzzKeyring feeds a ring with the statements of HELLOs from two members that say anything.
func FuzzKeyring(f *testing.F) {
	honest := newDaemonRing()
	s := honest.Statement()
	f.Add([]byte{1, 1, 2}, []byte{2}, s.Held[0].Fingerprint, s.Held[1].Fingerprint)
	f.Add([]byte{0, 255, 3, 7}, []byte{0, 1, 2, 3}, uint64(0), s.Held[1].Fingerprint)
	f.Fuzz(func(t *testing.T, using, held []byte, fp1, fp2 uint64) {
		r := newDaemonRing()
		for i, u := range using[:min(len(using), 16)] {
			h := Hello{Keys: KeyStatement{Using: u, Held: [2]KeyName{{1, fp1}, {2, fp2}}}}
			if i < len(held) {
				h.Keys.Held[1].Number = held[i]
			}
			back, err := ParseHello(h.Append(nil))
			if err != nil {
				t.Fatal(err)
			}
			r.Heard(uint8(i), back.Keys)
			r.Opened(u)
			r.Adopted(r.Use().Number)
			_ = r.Rotation().Text(names)
			found := false
			for _, k := range r.Held() {
				found = found || k == r.Use()
			}
			if !found {
				t.Fatalf("uses key %d and does not hold it", r.Use().Number)
			}
			if n := len(r.Held()); n < 1 || n > 2 {
				t.Fatalf("holds %d keys", n)
			}
		}
	})
}

func newDaemonRing() *Keyring {
	r := NewKeyring(openCluster, 0, 3)
	if err := r.Load(oldKey, newKey); err != nil {
		panic(err)
	}
	return r
}
