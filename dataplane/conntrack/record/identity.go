// SPDX-License-Identifier: Apache-2.0

package record

import "encoding/binary"

// Buckets is how many buckets a Tally has.
const Buckets = 1024

// Identity names an entry of a table, and this very instance of it, by keyed hashes that all members of a cluster compute alike. It is
// made of what the kernel's NEW and DESTROY events, and dumps, all carry.
type Identity struct {
	// Key is a hash of table, family, zone and original tuple: two entries of a table never have the same. For an expectation the tuple
	// is the one expected.
	Key uint64
	// Print is a hash of Key and the reply tuple, and so of how the connection is translated; for an expectation of Key, mask and master.
	Print uint64
}

// Bucket returns the bucket of a Tally that the entry belongs to, 0..Buckets-1.
func (i Identity) Bucket() int { return int(i.Key >> bucketShift) }

// Hasher computes identities. It is not changed by use: goroutines may share one.
type Hasher struct {
	k0, k1 uint64
	bucket func(Tuple) uint16 // nil: buckets by the hash alone
}

// NewHasher makes a Hasher; members that compare tallies must have the same key.
func NewHasher(key [16]byte) *Hasher {
	return &Hasher{k0: binary.LittleEndian.Uint64(key[:8]), k1: binary.LittleEndian.Uint64(key[8:])}
}

// ByBucket returns a Hasher that puts each connection into the bucket that of returns for its original tuple, below Buckets, instead of one
// that the hash chooses: the slot of load sharing, so that what one member takes are whole buckets. Prints follow the keys. An expectation
// gets its master's. Members that compare tallies must have the same function; goroutines may call it at once.
func (h *Hasher) ByBucket(of func(Tuple) uint16) *Hasher {
	return &Hasher{k0: h.k0, k1: h.k1, bucket: of}
}

// bucketShift is where the bucket begins in a key.
const bucketShift = 54

// Identify computes the identity of a record of table 1 or 2, whatever its op. It reads no more than it needs and is no substitute for
// Checker. Errors are Refusals.
func (h *Hasher) Identify(r Record) (Identity, error) {
	var p pair
	if reason := p.parse(r); reason != ReasonNone {
		return Identity{}, Refusal{Reason: reason}
	}
	return h.identify(r, &p), nil
}

// identify hashes, in words of 8 bytes: table, family, protocol, ICMP type and code; the tuple. Then: the key, the other tuple, and of an
// expectation the mask.
func (h *Hasher) identify(r Record, p *pair) Identity {
	s := newSip(h.k0, h.k1)
	s.word(uint64(r.Table) | uint64(r.Family)<<8 | uint64(p.orig.proto)<<16 | uint64(p.orig.icmpType)<<24 | uint64(p.orig.icmpCode)<<32)
	n := 1 + p.orig.hash(&s, r.Family)
	key := s.sum(n)
	if h.bucket != nil {
		of := &p.orig
		if r.Table == TableExpectations {
			of = &p.reply // the master's
		}
		key = key&(1<<bucketShift-1) | uint64(h.bucket(of.public(r.Family)))<<bucketShift
	}
	s = newSip(h.k0, h.k1)
	s.word(key)
	n = 1 + p.reply.hash(&s, r.Family)
	if r.Table == TableExpectations {
		n += p.mask.hash(&s, r.Family)
	}
	return Identity{Key: key, Print: s.sum(n)}
}

// hash takes in addresses, ports and zone, and returns how many words that were.
func (t *tuple) hash(s *sip, family uint8) int {
	ports := uint64(t.srcPort)<<16 | uint64(t.dstPort) | uint64(t.zone)<<32
	if family == IPv4 {
		s.word(t.src.hi<<32 | t.dst.hi)
		s.word(ports)
		return 2
	}
	s.word(t.src.hi)
	s.word(t.src.lo)
	s.word(t.dst.hi)
	s.word(t.dst.lo)
	s.word(ports)
	return 5
}

// pair is what identifies an entry: original and reply tuple as they are on the wire, or tuple, master and mask of an expectation. The
// tuples of a connection have its zone.
type pair struct{ orig, reply, mask tuple }

// parse reads the tuples of a record.
func (p *pair) parse(r Record) Reason {
	if r.Family != IPv4 && r.Family != IPv6 {
		return ReasonFamily
	}
	switch r.Table {
	case TableConnections:
		return p.connection(r)
	case TableExpectations:
		return p.expectation(r)
	}
	return ReasonTable
}

func (p *pair) connection(r Record) Reason {
	var orig, reply, zone, src, dst []byte
	for b := r.Attrs; len(b) > 0; {
		typ, value, rest, ok := next(b)
		if !ok {
			return ReasonStructure
		}
		switch typ & nlaTypeMask {
		case ctaTupleOrig:
			orig = value
		case ctaTupleReply:
			reply = value
		case ctaZone:
			zone = value
		case ctaNATSrc:
			src = value
		case ctaNATDst:
			dst = value
		}
		b = rest
	}
	if orig == nil || reply == nil {
		return ReasonMissing
	}
	if reason := p.orig.parse(r.Family, orig); reason != ReasonNone {
		return reason
	}
	if reason := p.reply.parse(r.Family, reply); reason != ReasonNone {
		return reason
	}
	if zone != nil {
		if len(zone) != 2 {
			return ReasonSize
		}
		p.orig.zone = binary.BigEndian.Uint16(zone)
		p.reply.zone = p.orig.zone
	}
	return p.translate(r.Family, src, dst)
}

// translate applies the bindings to the reply tuple in the kernel's order.
func (p *pair) translate(family uint8, src, dst []byte) Reason {
	var b binding
	if dst != nil {
		if reason := b.parse(family, dst); reason != ReasonNone {
			return reason
		}
		p.bind(ctaNATDst, &b)
	}
	if src != nil {
		if reason := b.parse(family, src); reason != ReasonNone {
			return reason
		}
		p.bind(ctaNATSrc, &b)
	}
	return ReasonNone
}

// bind applies one binding. An ICMP identifier is changed by both, and source NAT has the last word.
func (p *pair) bind(typ uint16, b *binding) {
	addr, port := &p.reply.dst, &p.reply.dstPort
	if typ == ctaNATDst {
		addr, port = &p.reply.src, &p.reply.srcPort
	}
	if p.reply.icmp {
		port = &p.reply.srcPort
	}
	*addr = b.addr
	if b.ported {
		*port = b.port
	}
}

// binding is CTA_NAT_SRC or CTA_NAT_DST.
type binding struct {
	addr   address
	port   uint16
	ported bool
}

func (n *binding) parse(family uint8, b []byte) Reason {
	*n = binding{}
	typ, size := uint16(ctaNATv4MinIP), 4
	if family == IPv6 {
		typ, size = ctaNATv6MinIP, 16
	}
	addressed := false
	for len(b) > 0 {
		t, value, rest, ok := next(b)
		switch {
		case !ok:
			return ReasonStructure
		case t == typ && addressed, t&^nlaNested == ctaNATProto && n.ported:
			return ReasonDuplicate
		case t == typ && len(value) != size:
			return ReasonSize
		case t == typ && size == 4:
			n.addr.hi, addressed = uint64(binary.BigEndian.Uint32(value)), true
		case t == typ:
			n.addr.hi, n.addr.lo, addressed = binary.BigEndian.Uint64(value), binary.BigEndian.Uint64(value[8:]), true
		case t&^nlaNested == ctaNATProto:
			pt, port, after, ok := uint16(0), []byte(nil), []byte(nil), false
			if len(value) > 0 {
				pt, port, after, ok = next(value)
			}
			switch {
			case !ok || len(after) > 0:
				return ReasonStructure
			case pt != ctaProtoNATPortMin:
				return ReasonUnknown
			case len(port) != 2:
				return ReasonSize
			}
			n.port, n.ported = binary.BigEndian.Uint16(port), true
		default:
			return ReasonUnknown
		}
		b = rest
	}
	if !addressed {
		return ReasonMissing
	}
	return ReasonNone
}

func (p *pair) expectation(r Record) Reason {
	seen := 0
	for b := r.Attrs; len(b) > 0; {
		typ, value, rest, ok := next(b)
		if !ok {
			return ReasonStructure
		}
		var t *tuple
		switch typ &= nlaTypeMask; typ {
		case ctaExpectTuple:
			t = &p.orig
		case ctaExpectMaster:
			t = &p.reply
		case ctaExpectMask:
			t = &p.mask
		}
		if t != nil {
			if reason := t.parse(r.Family, value); reason != ReasonNone {
				return reason
			}
			seen |= 1 << typ
		}
		b = rest
	}
	if seen != 1<<ctaExpectTuple|1<<ctaExpectMaster|1<<ctaExpectMask {
		return ReasonMissing
	}
	return ReasonNone
}

// Original returns the original tuple of a connection, or the tuple that an expectation waits for.
func Original(r Record) (Tuple, error) {
	var p pair
	if reason := p.parse(r); reason != ReasonNone {
		return Tuple{}, Refusal{Reason: reason}
	}
	return p.orig.public(r.Family), nil
}

// Reply returns the reply tuple of a connection as packets have it, translated; or the original tuple of an expectation's master.
func Reply(r Record) (Tuple, error) {
	var p pair
	if reason := p.parse(r); reason != ReasonNone {
		return Tuple{}, Refusal{Reason: reason}
	}
	return p.reply.public(r.Family), nil
}
