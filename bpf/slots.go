// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"

	"github.com/holdfast-project/holdfast/members/gate"
)

// Bits of an entry of a slot table: bits 0 to 2 taker, 3 to 5 the member that the slot moves to.
const (
	EntryMoving = 1 << 6
	EntryNobody = 1 << 7
)

const tableUnit = 20 // bits of a ns: TABLE_UNIT

// SlotTable says who takes which slot of the traffic; package steer has the meaning. The zero value: nothing is known, nobody takes anything.
type SlotTable struct {
	Term, Number uint32
	Phase        uint8 // 0 for the zero value only
	Leader       uint8
	Share        [gate.Members]uint32 // kept for the daemon; the gate does not look at it
	Entry        [SteerSlots]uint8
}

// SetSlots puts a slot table in force: with one store, so that no packet sees half of it.
func (g *Gate) SetSlots(t SlotTable) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if err := g.setSlots(t); err != nil {
		return fmt.Errorf("set slots: %w", err)
	}
	return nil
}

func (g *Gate) setSlots(t SlotTable) error {
	value := kernelBank{Term: t.Term, Number: t.Number, Phase: t.Phase, Leader: t.Leader, Share: t.Share, Entry: t.Entry}
	if t.Phase != 0 {
		for _, e := range t.Entry {
			if e&EntryNobody == 0 {
				value.Takers |= 1 << (e & 7)
			}
		}
	}
	word := g.words.u64(offTable)
	// Above the bank stands when it was put in force: for a moment the gate looks at both.
	next := uint64(Boottime())>>tableUnit<<1 | ^word.Load()&1
	if err := g.objects.Slots.Update(uint32(next&1), &value, ebpf.UpdateAny); err != nil {
		return err
	}
	word.Store(next)
	return nil
}

// Slots returns the slot table in force, also one that the gate was adopted with.
func (g *Gate) Slots() (SlotTable, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	var b kernelBank
	if err := g.objects.Slots.Lookup(uint32(g.words.u64(offTable).Load()&1), &b); err != nil {
		return SlotTable{}, fmt.Errorf("read slots: %w", err)
	}
	return SlotTable{Term: b.Term, Number: b.Number, Phase: b.Phase, Leader: b.Leader, Share: b.Share, Entry: b.Entry}, nil
}

// SlotCount is what this member has decided about the packets of a slot since the gate was loaded. What another member decided, and passed
// on to this one, is in MemberCount.
type SlotCount struct {
	Taken, TakenBytes   uint64 // taken by this member
	Passed, PassedBytes uint64 // passed on to another
}

// MemberCount is what went to another member and came from it, since the gate was loaded.
type MemberCount struct {
	To, ToBytes     uint64 // passed on to that member
	From, FromBytes uint64 // taken, passed on by that member
}

// SlotPackets returns the counts of all slots, summed over all CPUs.
func (g *Gate) SlotPackets() (sums [SteerSlots]SlotCount, err error) {
	cpus, err := ebpf.PossibleCPU()
	if err != nil {
		return sums, fmt.Errorf("read the slots' packets: %w", err)
	}
	var (
		keys   = make([]uint32, SteerSlots)
		counts = make([]kernelSlotCount, SteerSlots*cpus)
		cursor ebpf.MapBatchCursor
	)
	n, err := g.objects.SlotCounts.BatchLookup(&cursor, keys, counts, nil)
	if err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
		return sums, fmt.Errorf("read the slots' packets: %w", err)
	}
	for i := range n {
		sum := &sums[keys[i]%SteerSlots]
		for _, c := range counts[i*cpus : (i+1)*cpus] {
			sum.Taken += c.Taken
			sum.TakenBytes += c.TakenBytes
			sum.Passed += c.Passed
			sum.PassedBytes += c.PassedBytes
		}
	}
	return sums, nil
}

// MemberPackets returns the counts of all members, summed over all CPUs; this one's own are 0.
func (g *Gate) MemberPackets() (sums [gate.Members]MemberCount, err error) {
	var perCPU []kernelMemberCount
	for i := range sums {
		if err := g.objects.MemberCounts.Lookup(uint32(i), &perCPU); err != nil {
			return sums, fmt.Errorf("read the packets of member %d: %w", i, err)
		}
		for _, c := range perCPU {
			sums[i].To += c.To
			sums[i].ToBytes += c.ToBytes
			sums[i].From += c.From
			sums[i].FromBytes += c.FromBytes
		}
	}
	return sums, nil
}
