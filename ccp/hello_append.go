// SPDX-License-Identifier: Apache-2.0

package ccp

import "encoding/binary"

// Append appends the body of the HELLO to b, which holds the echo list by then. It is at most MaxPlainLen - MaxEchoOneLen bytes
// long, whatever h holds: a HELLO is for one member. It allocates nothing if b has room.
func (h *Hello) Append(b []byte) []byte {
	be := binary.BigEndian
	b, at := beginTLV(b, tlvState)
	b = append(b, byte(h.State))
	b = be.AppendUint32(b, h.Term)
	b = append(b, h.Priority, flag(h.Restarting, flagRestarting)|flag(h.AdminDown, flagAdminDown)|flag(h.Stopping, flagStopping))
	b = endTLV(b, at)

	b, at = beginTLV(b, tlvView)
	b = append(b, viewLen)
	for _, v := range h.View {
		b = append(b, byte(v.State))
		b = be.AppendUint32(b, v.AgeMs)
		b = be.AppendUint32(b, v.HelloAgeMs)
	}
	b = endTLV(b, at)

	b = h.appendInterfaces(b)
	b, omitted := h.appendDevices(b)

	b, at = beginTLV(b, tlvPolicy)
	b = be.AppendUint64(b, h.PolicyGeneration)
	b = be.AppendUint32(b, h.FrozenMs)
	b = endTLV(b, at)

	b, at = beginTLV(b, tlvConfig)
	b = append(b, h.ConfigDigest[:]...)
	b = endTLV(b, at)

	b, at = beginTLV(b, tlvMode)
	b = append(b, byte(h.Mode), byte(h.Recovery))
	b = endTLV(b, at)

	b, at = beginTLV(b, tlvVersion)
	b = be.AppendUint32(b, h.Version)
	b = appendText(b, h.Build, MaxBuild)
	b = endTLV(b, at)

	b, at = beginTLV(b, tlvCapabilities)
	b = be.AppendUint64(b, h.Capabilities)
	b = endTLV(b, at)

	b, at = beginTLV(b, tlvLoad)
	b = be.AppendUint16(b, h.Load.CPUPermille)
	b = be.AppendUint32(b, h.Load.ProbeJitterUs)
	b = be.AppendUint32(b, h.Load.LeaseDelayUs)
	b = be.AppendUint32(b, h.Load.SoftirqUs)
	b = endTLV(b, at)

	b, at = beginTLV(b, tlvForced)
	b = append(b, h.Forced.To)
	b = be.AppendUint32(b, h.Forced.ForMs)
	b = be.AppendUint64(b, h.Forced.ID)
	b = append(b, flag(h.Forced.Done, flagDone))
	b = endTLV(b, at)

	b, at = beginTLV(b, tlvBudget)
	b = append(b, h.Budget.Left, h.Budget.Limit)
	b = be.AppendUint32(b, h.Budget.DampedMs)
	b = endTLV(b, at)

	b, at = beginTLV(b, tlvBootID)
	b = append(b, h.BootID[:]...)
	b = endTLV(b, at)

	b, at = beginTLV(b, tlvKeys)
	b = append(b, h.Keys.Using)
	for _, k := range h.Keys.Held {
		if k.Number != 0 {
			b = append(b, k.Number)
			b = be.AppendUint64(b, k.Fingerprint)
		}
	}
	b = endTLV(b, at)

	b, at = beginTLV(b, tlvWeight)
	b = be.AppendUint32(b, h.Weight)
	b = append(b, byte(min(int(h.Omitted)+omitted, 255)))
	b = endTLV(b, at)

	if h.Sync != (SyncView{}) {
		b, at = beginTLV(b, tlvSync)
		b = endTLV(h.Sync.append(b), at)
	}
	if h.FlushAsk != 0 || h.Flushed != 0 {
		b, at = beginTLV(b, tlvFlush)
		b = be.AppendUint32(b, h.FlushAsk)
		b = be.AppendUint32(b, h.Flushed)
		b = endTLV(b, at)
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

func (h *Hello) appendInterfaces(b []byte) []byte {
	b, at := beginTLV(b, tlvInterfaces)
	b = append(b, interfaceLen)
	for _, i := range h.Interfaces[:min(len(h.Interfaces), MaxInterfaces)] {
		b = append(b, i.Slot, flag(i.Carrier, flagCarrier)|flag(i.Problem, flagProblem)|
			flag(i.Proven, flagProven)|flag(i.Undecided, flagUndecided), i.Heard)
		for _, age := range [...]uint32{i.CarrierAgeMs, i.InAgeMs, i.OutAgeMs, i.NeighbourAgeMs} {
			b = binary.BigEndian.AppendUint32(b, age)
		}
	}
	return endTLV(b, at)
}

// appendDevices writes the devices that fit in their order; those in problem are chosen first, then those in init, then the others.
// It returns how many do not.
func (h *Hello) appendDevices(b []byte) (_ []byte, omitted int) {
	reason := h.reasonLimit()
	b, at := beginTLV(b, tlvDevices)
	b = append(b, 0)
	// How many of each rank fit: a rank is only begun when the better ones fit whole.
	var fit [3]int
	left, truncated := MaxDevicesLen, h.DevicesTruncated
	for rank := range fit {
		for i := range h.Devices {
			d := &h.Devices[i]
			if d.rank() != rank {
				continue
			}
			if left -= d.wireLen(reason); left < 0 {
				truncated = true
				break
			}
			fit[rank]++
		}
	}
	for i := range h.Devices {
		d := &h.Devices[i]
		if fit[d.rank()] == 0 {
			omitted++
			continue
		}
		fit[d.rank()]--
		b = append(b, byte(d.Status))
		b = appendText(b, d.Name, MaxDeviceName)
		b = appendText(b, d.Reason, reason)
	}
	b[at] = flag(truncated, flagTruncated)
	return endTLV(b, at), omitted
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
