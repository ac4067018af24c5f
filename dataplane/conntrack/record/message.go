// SPDX-License-Identifier: Apache-2.0

package record

import "encoding/binary"

// Types of ctnetlink's messages that become records (NFNL_SUBSYS_CTNETLINK, NFNL_SUBSYS_CTNETLINK_EXP; NEW and DELETE), and the flags
// by which events and dumps differ.
const (
	msgConnectionNew     = 0x0100
	msgConnectionDelete  = 0x0102
	msgExpectationNew    = 0x0200
	msgExpectationDelete = 0x0202

	nlmMulti  = 0x2
	nlmCreate = 0x400
)

// nfgenmsgLen is the length of struct nfgenmsg: family, version, resource id.
const nfgenmsgLen = 4

// FromMessage makes a record of one message of ctnetlink: an event or an entry of a dump (which becomes OpNew). msgType and flags are
// nlmsg_type and nlmsg_flags, payload is what follows struct nlmsghdr (struct nfgenmsg and attributes). The attributes are appended to
// dst, and the record aliases what was appended: with room for MaxLen bytes in dst nothing is allocated.
//
// A connection is rewritten so that another kernel makes the same of it:
//
//   - The reply tuple becomes what it is without NAT, and the difference becomes CTA_NAT_SRC and CTA_NAT_DST. The kernel takes a translated
//     reply tuple as it is, and the entry looks right; but without the NAT attributes it does not mark it as translated, and translates
//     nothing.
//   - CTA_STATUS keeps what can be set (SEEN_REPLY, ASSURED), CONFIRMED, without which the kernel refuses the change, and EXPECTED, which
//     AppendCreate takes off.
//   - CTA_PROTOINFO of TCP gets the liberal flag in both directions, because windows are not copied, and loses the flags that speak of
//     sequence numbers that only this kernel has seen (MAXACK_SET, DATA_UNACKNOWLEDGED, CHALLENGE_ACK). The kernel tells flags with an
//     empty mask, which would set nothing: the mask becomes full. DCCP's is left out (Linux 6.17 removed the protocol).
//   - CTA_TIMEOUT becomes CopyTimeout.
//   - The mark, labels, zone, helper's name, master, sequence adjustments and SYN proxy's values stay. Counters, timestamps, id, use count,
//     security context, the private data of a helper in user space, and everything unknown go.
//
// The end of a connection is told by both tuples as they are, and the zone. Of an expectation its id goes; its time-out stays, because
// an expectation ends by its time-out on every member, and so does everything else (the kernel tells no zone of an expectation: only those
// in the default zone can be copied).
//
// Errors are Refusals. A record that comes without error passes Checker, unless by its addresses, its zone or its helper's name.
func FromMessage(dst []byte, msgType, flags uint16, payload []byte) (Record, error) {
	r := Record{Op: OpUpdate}
	switch msgType {
	case msgConnectionNew, msgExpectationNew:
		if flags&(nlmCreate|nlmMulti) != 0 {
			r.Op = OpNew
		}
	case msgConnectionDelete, msgExpectationDelete:
		r.Op = OpDelete
	default:
		return Record{}, Refusal{Reason: ReasonTable}
	}
	if len(payload) < nfgenmsgLen {
		return Record{}, Refusal{Reason: ReasonLength}
	}
	r.Family = payload[0]
	if r.Family != IPv4 && r.Family != IPv6 {
		return Record{}, Refusal{Reason: ReasonFamily}
	}
	at := len(dst)
	var err error
	if msgType>>8 == 1 {
		r.Table = TableConnections
		dst, err = appendConnection(dst, r, payload[nfgenmsgLen:])
	} else {
		r.Table = TableExpectations
		dst, err = appendExpectation(dst, r, payload[nfgenmsgLen:])
	}
	if err != nil {
		return Record{}, err
	}
	if r.Attrs = dst[at:len(dst):len(dst)]; r.Len() > MaxLen {
		return Record{}, Refusal{Reason: ReasonLength}
	}
	return r, nil
}

// raw are the attributes of a message by type, each with its header and without padding: an attribute of a type that no record carries is
// not there.
type raw [ctaSynproxy + 1][]byte

// value returns an attribute's value.
func (a *raw) value(typ int) []byte { return a[typ][nlaHeader:] }

// collect finds the attributes whose types are in the set known (1<<type).
func (a *raw) collect(b []byte, known uint64) error {
	for len(b) > 0 {
		typ, value, rest, ok := next(b)
		if !ok {
			return Refusal{Reason: ReasonStructure}
		}
		if typ &= nlaTypeMask; int(typ) < len(a) && known&(1<<typ) != 0 {
			a[typ] = b[:nlaHeader+len(value)]
		}
		b = rest
	}
	return nil
}

// fixed appends the attribute as it is if it is there and has a value of n bytes.
func (a *raw) fixed(dst []byte, typ uint16, n int) ([]byte, error) {
	switch {
	case a[typ] == nil:
		return dst, nil
	case len(a[typ]) != nlaHeader+n:
		return dst, Refusal{ReasonSize, typ}
	}
	return appendBytes(dst, typ, a.value(int(typ))), nil
}

// flat appends an attribute that holds n others, of 4 bytes each, numbered from 1.
func (a *raw) flat(dst []byte, typ uint16, n int) ([]byte, error) {
	if a[typ] == nil {
		return dst, nil
	}
	if r := flatNest(a.value(int(typ)), n); r != ReasonNone {
		return dst, Refusal{r, typ}
	}
	dst, at := begin(dst, typ)
	return end(append(dst, a.value(int(typ))...), at), nil
}

// flatNest checks for attributes 1 to n, once each, of 4 bytes.
func flatNest(b []byte, n int) Reason {
	seen := 0
	for len(b) > 0 {
		typ, value, rest, ok := next(b)
		switch {
		case !ok:
			return ReasonStructure
		case typ == 0 || int(typ) > n:
			return ReasonUnknown
		case seen&(1<<typ) != 0:
			return ReasonDuplicate
		case len(value) != 4:
			return ReasonSize
		}
		seen |= 1 << typ
		b = rest
	}
	if seen != 1<<(n+1)-2 {
		return ReasonMissing
	}
	return ReasonNone
}

// number reads an attribute of 4 bytes; ok is false if it is not there or has another length.
func (a *raw) number(typ int) (v uint32, ok bool) {
	if len(a[typ]) != nlaHeader+4 {
		return 0, false
	}
	return binary.BigEndian.Uint32(a.value(typ)), true
}
