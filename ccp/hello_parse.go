// SPDX-License-Identifier: Apache-2.0

package ccp

import "fmt"

// ParseHello reads the body of a TypeHello (Opened.Body). TLVs that it does not know are skipped, and so is what newer senders add at
// the end of those it knows; what is absent is zero (Forced.To: Nobody). The error wraps ErrMalformed and the Hello is zero then.
func ParseHello(body []byte) (Hello, error) {
	h := Hello{Forced: Forced{To: Nobody}}
	for {
		typ, value, rest, err := nextTLV(body)
		if err != nil {
			return Hello{}, fmt.Errorf("hello: %w", err)
		}
		if typ == 0 {
			return h, nil
		}
		if err := h.parseTLV(typ, value); err != nil {
			return Hello{}, fmt.Errorf("hello: %w", err)
		}
		body = rest
	}
}

// leastLen is the length of each TLV's value as its first version had it; a list's is that of the list without entries.
var leastLen = [...]int{
	tlvState: stateLen, tlvView: 1, tlvInterfaces: 1, tlvDevices: 1, tlvPolicy: policyLen, tlvConfig: configLen, tlvMode: modeLen,
	tlvVersion: versionLen, tlvCapabilities: capabilitiesLen, tlvLoad: loadLen, tlvForced: forcedLen, tlvBudget: budgetLen,
	tlvBootID: bootIDLen, tlvKeys: 1, tlvWeight: weightLen, tlvSync: syncLen, tlvFlush: flushLen,
	tlvShare: shareLen, tlvTraffic: trafficLen, tlvPolicyView: policyViewLen,
}

func (h *Hello) parseTLV(typ uint16, value []byte) error {
	if int(typ) >= len(leastLen) {
		return nil // of a version after this one
	}
	if len(value) < leastLen[typ] {
		return fmt.Errorf("%w: TLV %d has %d bytes, not %d", ErrMalformed, typ, len(value), leastLen[typ])
	}
	r := reader(value)
	switch typ {
	case tlvState:
		h.State, h.Term, h.Priority = State(r.u8()), r.u32(), r.u8()
		f := r.u8()
		h.Restarting, h.AdminDown, h.Stopping = f&flagRestarting != 0, f&flagAdminDown != 0, f&flagStopping != 0
	case tlvView:
		return h.parseView(r)
	case tlvInterfaces:
		return h.parseInterfaces(r)
	case tlvDevices:
		return h.parseDevices(r)
	case tlvPolicy:
		h.PolicyGeneration, h.FrozenMs = r.u64(), r.u32()
	case tlvConfig:
		copy(h.ConfigDigest[:], value)
	case tlvMode:
		h.Mode, h.Recovery = Mode(r.u8()), Recovery(r.u8())
	case tlvVersion:
		h.Version = r.u32()
		var ok bool
		if h.Build, ok = r.text(MaxBuild); !ok {
			return fmt.Errorf("%w: build runs over its TLV", ErrMalformed)
		}
	case tlvCapabilities:
		h.Capabilities = r.u64()
	case tlvLoad:
		h.Load = Load{CPUPermille: r.u16(), ProbeJitterUs: r.u32(), LeaseDelayUs: r.u32(), SoftirqUs: r.u32()}
	case tlvForced:
		h.Forced = Forced{To: r.u8(), ForMs: r.u32(), ID: r.u64()}
		h.Forced.Done = len(r) > 0 && r.u8()&flagDone != 0
	case tlvBudget:
		h.Budget = Budget{Left: r.u8(), Limit: r.u8(), DampedMs: r.u32()}
	case tlvBootID:
		copy(h.BootID[:], value)
	case tlvKeys:
		h.Keys = parseKeyStatement(r)
	case tlvWeight:
		h.Weight, h.Omitted = r.u32(), r.u8()
	case tlvSync:
		h.Sync = parseSyncView(r)
	case tlvFlush:
		h.FlushAsk, h.Flushed = r.u32(), r.u32()
	case tlvShare:
		h.Share = parseShareView(r)
	case tlvTraffic:
		h.Traffic = parseTrafficView(r)
	case tlvPolicyView:
		h.Policy = parsePolicyView(r)
	}
	return nil
}

// entries cuts a list whose first byte is the length of an entry, least at the least, and calls each for at most limit of them.
func entries(r reader, least, limit int, each func(i int, e reader)) error {
	n := int(r.u8())
	if n < least {
		return fmt.Errorf("%w: list entries of %d bytes, not %d", ErrMalformed, n, least)
	}
	for i := 0; i < limit && len(r) >= n; i++ {
		each(i, reader(r.take(n)))
	}
	return nil
}

func (h *Hello) parseView(r reader) error {
	h.View = [MaxMembers]MemberView{}
	return entries(r, viewLen, MaxMembers, func(i int, e reader) {
		h.View[i] = MemberView{State: State(e.u8()), AgeMs: e.u32(), HelloAgeMs: e.u32()}
	})
}

func (h *Hello) parseInterfaces(r reader) error {
	h.Interfaces = nil
	return entries(r, interfaceLen, MaxInterfaces, func(_ int, e reader) {
		v := InterfaceView{Slot: e.u8()}
		f := e.u8()
		v.Carrier, v.Problem, v.Proven, v.Undecided = f&flagCarrier != 0, f&flagProblem != 0, f&flagProven != 0, f&flagUndecided != 0
		v.Heard = e.u8()
		v.CarrierAgeMs, v.InAgeMs, v.OutAgeMs, v.NeighbourAgeMs = e.u32(), e.u32(), e.u32(), e.u32()
		h.Interfaces = append(h.Interfaces, v)
	})
}

// parseDevices keeps to the sender's limit, so that what was read can be written again.
func (h *Hello) parseDevices(r reader) error {
	h.Devices = nil
	h.DevicesTruncated = r.u8()&flagTruncated != 0
	for left := MaxDevicesLen; len(r) > 0; {
		d := DeviceView{Status: DeviceStatus(r.u8())}
		var okName, okReason bool
		d.Name, okName = r.text(MaxDeviceName)
		d.Reason, okReason = r.text(MaxDeviceReason)
		if !okName || !okReason {
			return fmt.Errorf("%w: device %d runs over its TLV", ErrMalformed, len(h.Devices))
		}
		if left -= d.wireLen(MaxDeviceReason); left < 0 {
			h.DevicesTruncated = true
			return nil
		}
		h.Devices = append(h.Devices, d)
	}
	return nil
}

func parseKeyStatement(r reader) KeyStatement {
	s := KeyStatement{Using: r.u8()}
	for n := 0; n < len(s.Held) && len(r) >= keyEntryLen; {
		if k := (KeyName{Number: r.u8(), Fingerprint: r.u64()}); k.Number != 0 {
			s.Held[n] = k
			n++
		}
	}
	return s
}
