// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/cilium/ebpf"

	"github.com/holdfast-project/holdfast/members/gate"
)

// SteerMode is how packets come to the members.
type SteerMode uint8

// The modes, numbered as in the gate's word and in package steer.
const (
	SteerHA        SteerMode = iota // one member takes all; the gate steers nothing
	SteerMulticast                  // every member sees every packet
	SteerUnicast                    // the one that answers, the pivot, sees every packet and passes on
)

// SteerKey is what of a packet makes the key of its slot.
type SteerKey uint8

// The kinds of key, numbered as in the gate's word and in package steer.
const (
	SteerByIPs         SteerKey = iota
	SteerByPorts                // addresses and ports
	SteerByPortsAndSPI          // and the SPI of ESP and AH
)

// Bits of the steer word.
const (
	steerMode      = 3 // mask
	steerKeyShift  = 2
	steerPublished = 1 << 4
	steerBlockNew  = 1 << 5
	steerDrained   = 1 << 6
	steerPlain4    = 1 << 7
	steerPlain6    = 1 << 8
)

// SteerSlots is how many slots the traffic has.
const SteerSlots = 1024

// Steering says how packets are steered to members. All members of a cluster must have the same, but for BlockNew.
type Steering struct {
	Mode    SteerMode
	Key     SteerKey
	HashKey [2]uint64 // of the SipHash that makes slots; secret, so that nobody outside can choose his member
	// SNATFirst to SNATLast are the ports that SNAT to a VIP uses, cut in equal parts for Options.Members; both 0: there is no such range.
	SNATFirst, SNATLast uint16
	// Published is where destination NAT leads to, and every proxied address (VIP.Proxy) of group 0.
	Published []netip.Prefix
	// BlockNew drops packets that would begin a connection, as far as the kernel's table can tell (TCP and UDP).
	BlockNew bool
}

// SetSteering makes s the rules by which packets are steered. The published prefixes that stay are known throughout. With SteerHA
// the share is revoked and the table of slots forgotten. What moves is drained no longer, and everything looked up. A gate that was adopted goes on
// by the rules that it had until this is called.
func (g *Gate) SetSteering(s Steering) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if s.Mode > SteerUnicast || s.Key > SteerByPortsAndSPI {
		return fmt.Errorf("set steering: mode %d, key %d: there are 3 of each", s.Mode, s.Key)
	}
	if s.SNATFirst > s.SNATLast || s.SNATFirst == 0 && s.SNATLast != 0 {
		return fmt.Errorf("set steering: SNAT ports %d-%d: want 1 to 65535 in ascending order, or 0-0 for none", s.SNATFirst, s.SNATLast)
	}
	w := g.words
	if s.Mode == SteerHA {
		w.u32(offSteer).Store(0)
		w.RevokeShare()
		if err := errors.Join(g.setSlots(SlotTable{}), g.forgetAnswers()); err != nil {
			return fmt.Errorf("set steering: %w", err)
		}
		s = Steering{}
	}
	stale, err := g.publishPrefixes(s.Published)
	if err != nil {
		return fmt.Errorf("set steering: %w", err)
	}
	// Another key moves every slot at once; so may any change here. Members change one after the other, and corrections mend it.
	w.u64(offHashKey).Store(s.HashKey[0])
	w.u64(offHashKey + 8).Store(s.HashKey[1])
	w.u32(offSNAT).Store(uint32(s.SNATFirst)<<16 | uint32(s.SNATLast))
	word := uint32(s.Mode) | uint32(s.Key)<<steerKeyShift
	if len(s.Published) > 0 {
		word |= steerPublished
	}
	if s.BlockNew {
		word |= steerBlockNew
	}
	w.u32(offSteer).Store(word)
	for _, key := range stale {
		if err := g.objects.Published.Delete(key); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
			return fmt.Errorf("set steering: forget a published prefix: %w", err)
		}
	}
	return nil
}

// publishPrefixes writes down the prefixes, and returns the entries that are there besides.
func (g *Gate) publishPrefixes(prefixes []netip.Prefix) (stale []kernelPublishedKey, err error) {
	want := make(map[kernelPublishedKey]bool, len(prefixes))
	for _, p := range prefixes {
		if !p.IsValid() {
			return nil, errors.New("published: no prefix")
		}
		want[publishedKey(p)] = true
	}
	var (
		key   kernelPublishedKey
		value uint32
	)
	it := g.objects.Published.Iterate()
	for it.Next(&key, &value) {
		if !want[key] {
			stale = append(stale, key)
		}
	}
	if err := it.Err(); err != nil {
		return nil, fmt.Errorf("read published prefixes: %w", err)
	}
	for key := range want {
		if err := g.objects.Published.Put(key, uint32(1)); err != nil {
			return nil, fmt.Errorf("publish: %w", err)
		}
	}
	return stale, nil
}

func publishedKey(p netip.Prefix) (k kernelPublishedKey) {
	p = p.Masked()
	family := uint32(6)
	if p.Addr().Is4() {
		family = 4
	}
	k.Prefix = 32 + uint32(p.Bits())
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], family)
	k.Family = binary.NativeEndian.Uint32(b[:])
	copy(k.Addr[:], p.Addr().AsSlice())
	return k
}

// SetBlockNew changes Steering.BlockNew alone.
func (g *Gate) SetBlockNew(block bool) { g.setSteerBit(steerBlockNew, block) }

// SetDrained says whether the other members know all that this one knows of moving slots: then it passes on what it would take of them.
func (g *Gate) SetDrained(drained bool) { g.setSteerBit(steerDrained, drained) }

// SetUntranslated says of which families no connection in the kernel's table is translated, nor will be by what begins here: packets of those that go
// by both their ends are not looked up. SetSteering begins with none.
func (g *Gate) SetUntranslated(f Families) {
	g.setSteerBit(steerPlain4, f.Four)
	g.setSteerBit(steerPlain6, f.Six)
}

func (g *Gate) setSteerBit(bit uint32, on bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	word := g.words.u32(offSteer)
	switch old := word.Load(); {
	case old&steerMode == 0:
	case on:
		word.Store(old | bit)
	default:
		word.Store(old &^ bit)
	}
}

// SetMemberMACs makes macs the members' addresses at the interface of a slot (below MaxSlots): where frames for them are sent, and how
// frames that they passed on are known. Nil leaves what is there: a restarted daemon learns one after the other. The own one must not be there.
func (g *Gate) SetMemberMACs(slot uint8, macs [gate.Members]net.HardwareAddr) error {
	if slot >= MaxSlots {
		return fmt.Errorf("set MACs of members at slot %d: there are %d", slot, MaxSlots)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	var value kernelNeighbours
	if err := g.objects.Neighbours.Lookup(uint32(slot), &value); err != nil {
		return fmt.Errorf("read MACs of members at slot %d: %w", slot, err)
	}
	for i, mac := range macs {
		if mac == nil {
			continue
		}
		if len(mac) != 6 || mac[0]&1 != 0 {
			return fmt.Errorf("set MACs of members: member %d: %v is no address of a station", i, mac)
		}
		value.Mac[i].Head, value.Mac[i].Tail = macWords([6]byte(mac))
	}
	if err := g.objects.Neighbours.Put(uint32(slot), value); err != nil {
		return fmt.Errorf("set MACs of members at slot %d: %w", slot, err)
	}
	return nil
}
