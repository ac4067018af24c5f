// SPDX-License-Identifier: Apache-2.0

package record

import "encoding/binary"

// What a record says goes to the kernel in different words for an entry that is to be created, changed or deleted. These functions expect
// what FromMessage made or Checker took, tables 1 and 2 only, and pass on nothing else.

// AppendCreate appends the attributes by which the kernel creates the entry (IPCTNL_MSG_CT_NEW or IPCTNL_MSG_EXP_NEW with NLM_F_CREATE):
// all, with four changes for a connection.
//   - EXPECTED leaves the status: the kernel sets it by the master, and refuses it (EBUSY) otherwise.
//   - TCP without a state gets the one that its status tells, because TCP in state NONE drops answers. An update that was about something
//     else has none, nor has a dump of an offloaded connection.
//   - What has its destination translated alone gets its own source as the binding of the other: without one the kernel would choose another
//     source port where the reply tuple is taken, and say nothing.
//   - GRE's time-out stays as it is given. The kernel refreshes it by what it keeps in an entry from its first packet on, and one that it was
//     given has nothing there: the first packet would end it.
//
// The kernel refuses it with EEXIST where either tuple is taken, with ENOENT where the master is missing, with EOPNOTSUPP where the helper is.
// An expectation gets the time-out of its helper's policy whatever is said here: follow it with
// AppendUpdate where that matters. It goes without its helper's name unless the expected connection is to have that helper.
func (r Record) AppendCreate(dst []byte) []byte {
	if r.Table != TableConnections {
		return r.appendExpectation(dst)
	}
	var orig tuple
	var status uint32
	var translated, pinned bool
	var at int // where the status is
	stateless := true
	for b := r.Attrs; len(b) > 0; {
		typ, value, rest, ok := next(b)
		if !ok {
			break
		}
		switch typ &= nlaTypeMask; {
		case typ == ctaTupleOrig:
			_ = orig.parse(r.Family, value)
		case typ == ctaStatus && len(value) == 4:
			status = binary.BigEndian.Uint32(value)
			dst = appendU32(dst, ctaStatus, status&^statusExpected)
			at = len(dst) - 4
			b = rest
			continue
		case typ == ctaProtoinfo:
			stateless = false
		case typ == ctaNATDst:
			translated = true
		case typ == ctaNATSrc:
			pinned = true
		}
		dst = append(dst, b[:len(b)-len(rest)]...)
		b = rest
	}
	if orig.proto == protoGRE && at > 0 {
		binary.BigEndian.PutUint32(dst[at:], status&^statusExpected|statusFixed)
	}
	if translated && !pinned {
		dst = appendBinding(dst, ctaNATSrc, r.Family, orig.src, orig.srcPort, orig.ports || orig.icmp)
	}
	if stateless && orig.proto == protoTCP {
		t := tcpState{state: tcpSynSent}
		switch {
		case status&statusAssured != 0:
			t.state = tcpEstablished
		case status&statusSeenReply != 0:
			t.state = tcpSynReceived
		}
		dst = t.append(dst)
	}
	return dst
}

// appendExpectation appends what creates an expectation. The kernel tells the helper of its master, but takes the name for the helper of the
// connection that is expected: FTP's data would be read as commands, and changed. SIP alone expects connections of its own kind
// (process_register_request), and has classes, which count only with the name.
func (r Record) appendExpectation(dst []byte) []byte {
	for b := r.Attrs; len(b) > 0; {
		typ, value, rest, ok := next(b)
		if !ok {
			break
		}
		if typ == ctaExpectHelpName && isSIP(value) {
			return append(dst, r.Attrs...)
		}
		b = rest
	}
	return r.appendOnly(dst, knownExpectation&^(1<<ctaExpectHelpName))
}

// AppendUpdate appends the attributes by which the kernel changes an existing entry (the same messages without NLM_F_CREATE): without NAT
// and master, which it refuses (EOPNOTSUPP), and without the reply tuple, which it would not compare. The helper must be the one that the
// entry has (EBUSY; EOPNOTSUPP if it has none); giving it again tells FTP's that it has missed a part of the connection, without which it
// passes over every command after a hand-over. Of GRE it leaves out the time-out, which may be fixed (EPERM). Of an expectation only the time-out changes.
//
// The kernel refuses it with EBUSY where the copy has a status that the record lacks (ASSURED, SEEN_REPLY), or one of the two says EXPECTED
// and the other not: then the copy is another connection's, and is to be deleted and created.
func (r Record) AppendUpdate(dst []byte) []byte {
	known := uint64(1<<ctaTupleOrig | 1<<ctaStatus | 1<<ctaTimeout | 1<<ctaProtoinfo | 1<<ctaMark | 1<<ctaSeqAdjOrig | 1<<ctaSeqAdjReply |
		1<<ctaZone | 1<<ctaLabels | 1<<ctaSynproxy | 1<<ctaHelp)
	if r.Table == TableExpectations {
		known = 1<<ctaExpectMaster | 1<<ctaExpectTuple | 1<<ctaExpectMask | 1<<ctaExpectTimeout
	} else if r.isGRE() {
		known &^= 1 << ctaTimeout
	}
	return r.appendOnly(dst, known)
}

// isGRE says whether it is a connection of GRE.
func (r Record) isGRE() bool {
	for b := r.Attrs; len(b) > 0; {
		typ, value, rest, ok := next(b)
		if !ok {
			return false
		}
		if typ&nlaTypeMask == ctaTupleOrig {
			var t tuple
			return t.parse(r.Family, value) == ReasonNone && t.proto == protoGRE
		}
		b = rest
	}
	return false
}

// AppendDelete appends the attributes by which the kernel finds the entry to delete (IPCTNL_MSG_CT_DELETE, IPCTNL_MSG_EXP_DELETE): tuple and
// zone. They do for IPCTNL_MSG_CT_GET too. It never appends nothing for a record that Checker took: a DELETE without a tuple flushes
// the table.
func (r Record) AppendDelete(dst []byte) []byte {
	if r.Table == TableExpectations {
		return r.appendOnly(dst, 1<<ctaExpectTuple)
	}
	return r.appendOnly(dst, 1<<ctaTupleOrig|1<<ctaZone)
}

// AppendMaster appends the attributes by which the kernel finds an expectation's master (IPCTNL_MSG_CT_GET).
//
// Who replicates needs it: a helper that changes the length of what it translates (FTP through NAT) makes the kernel adjust sequence
// numbers, and of that no event tells. It happens where an expectation begins; so when one does, its master is to be read again and sent
// as an update. Without that the master's connection stands still after a hand-over.
func (r Record) AppendMaster(dst []byte) []byte {
	if r.Table != TableExpectations {
		return dst
	}
	at := len(dst)
	if dst = r.appendOnly(dst, 1<<ctaExpectMaster); len(dst) > at {
		binary.LittleEndian.PutUint16(dst[at+2:], ctaTupleOrig|nlaNested)
	}
	return dst
}

// HasMaster reports whether it is a connection that another one's expectation let begin.
func (r Record) HasMaster() bool {
	for b := r.Attrs; r.Table == TableConnections && len(b) > 0; {
		typ, _, rest, ok := next(b)
		if !ok {
			return false
		}
		if typ&nlaTypeMask == ctaTupleMaster {
			return true
		}
		b = rest
	}
	return false
}

// appendOnly appends the attributes whose types are in the set known.
func (r Record) appendOnly(dst []byte, known uint64) []byte {
	for b := r.Attrs; len(b) > 0; {
		typ, _, rest, ok := next(b)
		if !ok {
			break
		}
		if known&(1<<(typ&nlaTypeMask)) != 0 {
			dst = append(dst, b[:len(b)-len(rest)]...)
		}
		b = rest
	}
	return dst
}
