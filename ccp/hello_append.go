// SPDX-License-Identifier: Apache-2.0

package ccp

import "encoding/binary"

// Append appends the body of the HELLO to b, which holds the echo list by then. It is at most MaxPlainLen - MaxEchoOneLen bytes
// long, whatever h holds: a HELLO is for one member. It allocates nothing if b has room.
func (h *Hello) Append(b []byte) []byte {
	be, fit := binary.BigEndian, h.fitDevices()
	b, at := beginTLV(b, tlvState)
	b = endTLV(h.appendState(b), at)
	b, at = beginTLV(b, tlvView)
	b = endTLV(h.appendView(b), at)
	b, at = beginTLV(b, tlvInterfaces)
	b = endTLV(h.appendInterfaces(b), at)
	b, at = beginTLV(b, tlvDevices)
	b = endTLV(h.appendDevices(b, fit), at)
	b, at = beginTLV(b, tlvPolicy)
	b = endTLV(be.AppendUint32(be.AppendUint64(b, h.PolicyGeneration), h.FrozenMs), at)
	b, at = beginTLV(b, tlvConfig)
	b = endTLV(append(b, h.ConfigDigest[:]...), at)
	b, at = beginTLV(b, tlvMode)
	b = endTLV(append(b, byte(h.Mode), byte(h.Recovery)), at)
	b, at = beginTLV(b, tlvVersion)
	b = endTLV(appendText(be.AppendUint32(b, h.Version), h.Build, MaxBuild), at)
	b, at = beginTLV(b, tlvCapabilities)
	b = endTLV(be.AppendUint64(b, h.Capabilities), at)
	b, at = beginTLV(b, tlvLoad)
	b = endTLV(h.Load.append(b), at)
	b, at = beginTLV(b, tlvForced)
	b = endTLV(h.Forced.append(b), at)
	b, at = beginTLV(b, tlvBudget)
	b = endTLV(h.Budget.append(b), at)
	b, at = beginTLV(b, tlvBootID)
	b = endTLV(append(b, h.BootID[:]...), at)
	b, at = beginTLV(b, tlvKeys)
	b = endTLV(h.Keys.append(b), at)
	b, at = beginTLV(b, tlvWeight)
	b = endTLV(append(be.AppendUint32(b, h.Weight), byte(min(int(h.Omitted)+fit.omitted, 255))), at)

	// Of what a cluster may not have at all.
	if h.Sync != (SyncView{}) {
		b, at = beginTLV(b, tlvSync)
		b = endTLV(h.Sync.append(b), at)
	}
	if h.FlushAsk != 0 || h.Flushed != 0 {
		b, at = beginTLV(b, tlvFlush)
		b = endTLV(be.AppendUint32(be.AppendUint32(b, h.FlushAsk), h.Flushed), at)
	}
	if h.Share != (ShareView{}) {
		b, at = beginTLV(b, tlvShare)
		b = endTLV(h.Share.append(b), at)
	}
	if h.Traffic != (TrafficView{}) {
		b, at = beginTLV(b, tlvTraffic)
		b = endTLV(h.Traffic.append(b), at)
	}
	if h.Policy != (PolicyView{}) {
		b, at = beginTLV(b, tlvPolicyView)
		b = endTLV(h.Policy.append(b), at)
	}
	return b
}

func flag(set bool, bit byte) byte {
	if set {
		return bit
	}
	return 0
}

func (h *Hello) appendState(b []byte) []byte {
	b = append(b, byte(h.State))
	b = binary.BigEndian.AppendUint32(b, h.Term)
	return append(b, h.Priority, flag(h.Restarting, flagRestarting)|flag(h.AdminDown, flagAdminDown)|flag(h.Stopping, flagStopping))
}

func (h *Hello) appendView(b []byte) []byte {
	b = append(b, viewLen)
	for _, v := range h.View {
		b = append(b, byte(v.State))
		b = binary.BigEndian.AppendUint32(b, v.AgeMs)
		b = binary.BigEndian.AppendUint32(b, v.HelloAgeMs)
	}
	return b
}

func (h *Hello) appendInterfaces(b []byte) []byte {
	b = append(b, interfaceLen)
	for _, i := range h.Interfaces[:min(len(h.Interfaces), MaxInterfaces)] {
		b = append(b, i.Slot, flag(i.Carrier, flagCarrier)|flag(i.Problem, flagProblem)|
			flag(i.Proven, flagProven)|flag(i.Undecided, flagUndecided), i.Heard)
		for _, age := range [...]uint32{i.CarrierAgeMs, i.InAgeMs, i.OutAgeMs, i.NeighbourAgeMs} {
			b = binary.BigEndian.AppendUint32(b, age)
		}
	}
	return b
}

func (l Load) append(b []byte) []byte {
	b = binary.BigEndian.AppendUint16(b, l.CPUPermille)
	b = binary.BigEndian.AppendUint32(b, l.ProbeJitterUs)
	b = binary.BigEndian.AppendUint32(b, l.LeaseDelayUs)
	return binary.BigEndian.AppendUint32(b, l.SoftirqUs)
}

func (f Forced) append(b []byte) []byte {
	b = append(b, f.To)
	b = binary.BigEndian.AppendUint32(b, f.ForMs)
	b = binary.BigEndian.AppendUint64(b, f.ID)
	return append(b, flag(f.Done, flagDone))
}

func (v Budget) append(b []byte) []byte {
	return binary.BigEndian.AppendUint32(append(b, v.Left, v.Limit), v.DampedMs)
}

func (s KeyStatement) append(b []byte) []byte {
	b = append(b, s.Using)
	for _, k := range s.Held {
		if k.Number != 0 {
			b = binary.BigEndian.AppendUint64(append(b, k.Number), k.Fingerprint)
		}
	}
	return b
}

// deviceFit is which devices a HELLO has room for.
type deviceFit struct {
	reason    int    // the longest reason, in bytes
	rank      [3]int // how many devices of each rank
	omitted   int    // how many are left out
	truncated bool
}

// fitDevices chooses the devices that a HELLO has room for: those in problem first, then those in init, then the others. A rank is only
// begun when the better ones fit whole.
func (h *Hello) fitDevices() deviceFit {
	fit := deviceFit{reason: h.reasonLimit(), omitted: len(h.Devices), truncated: h.DevicesTruncated}
	left := MaxDevicesLen
	for rank := range fit.rank {
		for i := range h.Devices {
			d := &h.Devices[i]
			if d.rank() != rank {
				continue
			}
			if left -= d.wireLen(fit.reason); left < 0 {
				fit.truncated = true
				break
			}
			fit.rank[rank]++
			fit.omitted--
		}
	}
	return fit
}

// appendDevices writes the devices that fit, in their order.
func (h *Hello) appendDevices(b []byte, fit deviceFit) []byte {
	b = append(b, flag(fit.truncated, flagTruncated))
	for i := range h.Devices {
		d := &h.Devices[i]
		if fit.rank[d.rank()] == 0 {
			continue
		}
		fit.rank[d.rank()]--
		b = append(b, byte(d.Status))
		b = appendText(b, d.Name, MaxDeviceName)
		b = appendText(b, d.Reason, fit.reason)
	}
	return b
}

// reasonLimit is the longest reason with which all devices fit, minReason if they do with none.
func (h *Hello) reasonLimit() int {
	for limit := MaxDeviceReason; limit > minReason; limit-- {
		n := 0
		for i := range h.Devices {
			n += h.Devices[i].wireLen(limit)
		}
		if n <= MaxDevicesLen {
			return limit
		}
	}
	return minReason
}

// wireLen is how many bytes d takes in the list, if its reason has so many at most.
func (d *DeviceView) wireLen(reason int) int {
	return 3 + min(len(d.Name), MaxDeviceName) + min(len(d.Reason), reason)
}

// rank is 0 for what an operator must see first.
func (d *DeviceView) rank() int {
	switch d.Status {
	case DeviceOK:
		return 2
	case DeviceInit:
		return 1
	}
	return 0
}
