// SPDX-License-Identifier: Apache-2.0

package record

import "time"

// copiesLast is for how many ticks of the kernel's clock copies live longer, and what UDP refreshes for less: as in bpf/src/known.h.
const copiesLast = 1 << 21

// BegunHere reports whether a connection has begun at this kernel and is no copy, as the gate tells it (bpf/src/known.h): copies are liberal, of
// TCP, and last for longer than the kernel gives UDP. The payload is that of ctnetlink's message, as FromMessage takes it, and tick is how long
// one of the kernel's clock lasts. It is false for protocols that gates do not look up.
func BegunHere(payload []byte, tick time.Duration) bool {
	var a raw
	if len(payload) < nfgenmsgLen || a.collect(payload[nfgenmsgLen:], 1<<ctaTupleOrig|1<<ctaProtoinfo|1<<ctaTimeout) != nil || a[ctaTupleOrig] == nil {
		return false
	}
	var orig tuple
	if orig.parse(payload[0], a.value(ctaTupleOrig)) != ReasonNone {
		return false
	}
	switch orig.proto {
	case protoTCP:
		return a[ctaProtoinfo] != nil && isStrict(a.value(ctaProtoinfo))
	case protoUDP:
		seconds, ok := a.number(ctaTimeout)
		return ok && time.Duration(seconds)*time.Second < copiesLast*tick
	}
	return false
}

// isStrict reports whether TCP's state says that windows count in the original direction.
func isStrict(b []byte) bool {
	for len(b) > 0 {
		typ, value, rest, ok := next(b)
		if !ok {
			return false
		}
		if typ&nlaTypeMask == ctaProtoinfoTCP {
			var t tcpState
			return t.parse(value) == ReasonNone && t.flags[0]&tcpLiberal == 0
		}
		b = rest
	}
	return false
}
