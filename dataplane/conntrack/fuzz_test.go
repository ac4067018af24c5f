// SPDX-License-Identifier: Apache-2.0

package conntrack

import (
	"bytes"
	"encoding/binary"
	"testing"
	"time"

	"github.com/holdfast-project/holdfast/dataplane/conntrack/record"
)

// FuzzAttributes: bytes come from the kernel, or from an authentic member's record that its checks let through. Whatever they are, nothing
// is read beyond them, what is copied without loss is the same again, and no request to delete is more than one for one entry.
func FuzzAttributes(f *testing.F) {
	f.Add(flow(1).Attrs)
	f.Add(snat(flow(2), 1111).Attrs)
	f.Add([]byte{3, 0, 1, 0})
	f.Add([]byte{5, 0, 1, 0x80, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		once := appendWithout(nil, b, 0)
		if twice := appendWithout(nil, once, 0); !bytes.Equal(once, twice) {
			t.Errorf("copied % x, and again % x", once, twice)
		}
		has := present(b)
		for typ := range uint16(32) {
			if (find(b, typ) != nil) != has.has(typ) {
				t.Errorf("attribute %d is there and is not", typ)
			}
			if present(appendWithout(nil, b, of(typ))).has(typ) {
				t.Errorf("attribute %d was left out and is there", typ)
			}
		}
		r := record.Record{Table: record.TableConnections, Op: record.OpDelete, Family: record.IPv4, Attrs: b}
		if acceptable(r) == 0 && deletesOne(r.Table, r.AppendDelete(nil)) != has.has(ctaTupleOrig) {
			t.Errorf("a deletion by % x", r.AppendDelete(nil))
		}
		var timeouts Timeouts
		if _, ok := timeouts.Of(Message{Payload: b}); ok && len(b) < nfgenLen {
			t.Error("a time-out of nothing")
		}
	})
}

// FuzzMessages takes datagrams apart as a dump does: every message lies within the datagram, and together they are all of it.
func FuzzMessages(f *testing.F) {
	message := func(payload []byte) []byte {
		b := make([]byte, nlmsgLen, nlmsgLen+len(payload))
		binary.NativeEndian.PutUint32(b, uint32(nlmsgLen+len(payload)))
		return append(b, payload...)
	}
	f.Add(append(message([]byte{1, 2, 3, 4}), message(nil)...))
	f.Add(message([]byte{1, 2, 3}))
	f.Add([]byte{200, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		n := 0
		err := eachMessage(b, func(_ uint32, m Message) error {
			n += align(nlmsgLen + len(m.Payload))
			_ = DumpOptions{Zone: new(uint16)}.inZone(m)
			_, _ = (&SweepOptions{Copy: time.Hour}).due(m, Shorten)
			return nil
		})
		if err == nil && n != align(len(b)) {
			t.Errorf("%d bytes of messages in %d", n, len(b))
		}
	})
}
