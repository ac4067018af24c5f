// SPDX-License-Identifier: Apache-2.0

package record

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"github.com/holdfast-project/holdfast/ccp"
)

// TestIdentityBytes: identities are SipHash-2-4, as ccp has it, of these very bytes: members of different versions must agree.
func TestIdentityBytes(t *testing.T) {
	key := [16]byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}
	le := binary.LittleEndian
	r := connection(6, "10.1.0.2", "10.2.0.2", 40000, 22, "10.2.0.2", "10.2.0.100")
	b := []byte{1, 2, 6, 0, 0, 0, 0, 0}
	b = le.AppendUint64(b, 0x0a010002<<32|0x0a020002)
	b = le.AppendUint64(b, 40000<<16|22)
	want := Identity{Key: ccp.SipHash24(key, b)}
	b = le.AppendUint64(nil, want.Key)
	b = le.AppendUint64(b, 0x0a020002<<32|0x0a020064)
	b = le.AppendUint64(b, 22<<16|40000)
	want.Print = ccp.SipHash24(key, b)
	if got, err := NewHasher(key).Identify(r); got != want || err != nil {
		t.Errorf("%+v, want %+v (%v)", got, want, err)
	}
	r = connection(17, "2001:db8::1", "2001:db8::2", 1, 2)
	b = []byte{1, 10, 17, 0, 0, 0, 0, 0}
	b = le.AppendUint64(b, 0x20010db8<<32)
	b = le.AppendUint64(b, 1)
	b = le.AppendUint64(b, 0x20010db8<<32)
	b = le.AppendUint64(b, 2)
	b = le.AppendUint64(b, 1<<16|2)
	if got, _ := NewHasher(key).Identify(r); got.Key != ccp.SipHash24(key, b) {
		t.Errorf("%+v", got)
	}
	if (Identity{Key: 1<<54 | 5}).Bucket() != 1 || (Identity{Key: ^uint64(0)}).Bucket() != Buckets-1 {
		t.Error("buckets are the ten highest bits")
	}
}

// TestIdentityTells: what differs in table, tuples, zone or key has another identity; state, mark and time-outs do not matter.
func TestIdentityTells(t *testing.T) {
	h := NewHasher([16]byte{1})
	base := connection(6, "10.1.0.2", "10.2.0.2", 40000, 22)
	id, err := h.Identify(base)
	if err != nil {
		t.Fatal(err)
	}
	zoned := base
	zoned.Attrs = appendU16(append([]byte(nil), base.Attrs...), ctaZone, 3)
	for name, r := range map[string]Record{
		"source": connection(6, "10.1.0.3", "10.2.0.2", 40000, 22), "destination": connection(6, "10.1.0.2", "10.2.0.3", 40000, 22),
		"swapped": connection(6, "10.2.0.2", "10.1.0.2", 40000, 22), "source port": connection(6, "10.1.0.2", "10.2.0.2", 40001, 22),
		"destination port": connection(6, "10.1.0.2", "10.2.0.2", 40000, 23), "protocol": connection(17, "10.1.0.2", "10.2.0.2", 40000, 22), "zone": zoned,
	} {
		if got, err := h.Identify(r); err != nil || got.Key == id.Key || got.Print == id.Print {
			t.Errorf("another %s: %+v %v", name, got, err)
		}
	}
	translated, _ := h.Identify(connection(6, "10.1.0.2", "10.2.0.2", 40000, 22, "10.2.0.2", "10.2.0.100"))
	if translated.Key != id.Key || translated.Print == id.Print {
		t.Errorf("translated: %+v, not %+v", translated, id)
	}
	marked := base
	marked.Attrs = appendU32(append([]byte(nil), base.Attrs...), ctaMark, 3)
	if got, _ := h.Identify(marked); got != id {
		t.Errorf("a mark makes another: %+v", got)
	}
	if got, _ := NewHasher([16]byte{2}).Identify(base); got.Key == id.Key {
		t.Error("the key does not matter")
	}
}

// TestIdentityByBucket: a connection is in the bucket that the function says for its original tuple, whatever is translated; the rest of its
// key still tells it from others there.
func TestIdentityByBucket(t *testing.T) {
	plain := NewHasher([16]byte{1})
	var asked Tuple
	h := plain.ByBucket(func(o Tuple) uint16 { asked = o; return o.SrcPort % Buckets })
	seen := map[uint64]bool{}
	for port := range uint16(3 * Buckets) {
		r := connection(6, "10.1.0.2", "10.2.0.2", port, 22, "10.2.0.2", "10.2.0.100")
		got, err := h.Identify(r)
		before, _ := plain.Identify(r)
		if err != nil || got.Bucket() != int(port%Buckets) || got.Key<<10 != before.Key<<10 || (got.Print == before.Print) != (got.Key == before.Key) || seen[got.Key] {
			t.Fatalf("port %d: %+v (%v), without the function %+v", port, got, err, before)
		}
		seen[got.Key] = true
	}
	if want := (Tuple{Src: netip.MustParseAddr("10.1.0.2"), Dst: netip.MustParseAddr("10.2.0.2"), Proto: 6, SrcPort: 3*Buckets - 1, DstPort: 22}); asked != want {
		t.Errorf("asked for %+v, want %+v", asked, want)
	}
}

// TestExpectationByBucket: an expectation is where its master is.
func TestExpectationByBucket(t *testing.T) {
	h := NewHasher([16]byte{1}).ByBucket(func(o Tuple) uint16 { return o.SrcPort % Buckets })
	r := Record{Table: TableExpectations, Op: OpNew, Family: IPv4}
	for typ, ports := range map[uint16][2]uint16{ctaExpectTuple: {0, 2000}, ctaExpectMask: {0, 0xffff}, ctaExpectMaster: {777, 21}} {
		tuple := connection(6, "10.1.0.2", "10.2.0.2", ports[0], ports[1])
		var a raw
		if err := a.collect(tuple.Attrs, ^uint64(0)); err != nil {
			t.Fatal(err)
		}
		r.Attrs = appendBytes(r.Attrs, typ|nlaNested, a.value(ctaTupleOrig))
	}
	if id, err := h.Identify(r); err != nil || id.Bucket() != 777 {
		t.Errorf("bucket %d (%v)", id.Bucket(), err)
	}
}

func TestTuples(t *testing.T) {
	r := connection(1, "10.1.0.2", "10.1.0.100", 7, 0, "10.2.0.2", "10.2.0.100")
	o, err := Original(r)
	want := Tuple{Src: netip.MustParseAddr("10.1.0.2"), Dst: netip.MustParseAddr("10.1.0.100"), Proto: 1, ICMPType: 8, ICMPID: 7}
	if o != want || err != nil {
		t.Errorf("%+v %v", o, err)
	}
	p, err := Reply(r)
	want = Tuple{Src: netip.MustParseAddr("10.2.0.2"), Dst: netip.MustParseAddr("10.2.0.100"), Proto: 1, ICMPID: 7}
	if p != want || err != nil {
		t.Errorf("%+v %v", p, err)
	}
	if _, err := Original(Record{Table: TableSets}); ReasonOf(err) != ReasonFamily {
		t.Errorf("%v", err)
	}
}
