// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"errors"
	"fmt"
	"net/netip"
	"syscall"

	"github.com/cilium/ebpf"
)

// ErrFull says that the gate has no room for another note.
var ErrFull = errors.New("the gate's notes of answers are full")

// Answer is how the answers of a translated connection come in. The gate goes by it where it cannot ask the kernel for the connection: with
// every protocol but TCP and UDP.
type Answer struct {
	Src, Dst netip.Addr // of one family
	Proto    uint8
	// SrcPort and DstPort are those of protocols that have ports. Of an echo both are the identifier; of version 1 of GRE, which PPTP uses,
	// DstPort is the call; else both are 0.
	SrcPort, DstPort uint16
}

// Bits of a note: ANSWER_SLOT and ANSWER_HERE.
const answerHere = 1 << 15

// NoteAnswer has the gate give what comes in as a to whoever takes a slot of the traffic, that of its connection's original direction; here: the
// connection has begun at this member, and is no copy of another's. A note that was there is replaced. The error wraps ErrFull if there
// are too many.
func (g *Gate) NoteAnswer(a Answer, slot uint16, here bool) error {
	value := uint32(slot) % SteerSlots
	if here {
		value |= answerHere
	}
	err := g.objects.Answers.Put(answerKey(a), value)
	if errors.Is(err, syscall.E2BIG) {
		err = ErrFull
	}
	if err != nil {
		return fmt.Errorf("note the answers from %v to %v: %w", a.Src, a.Dst, err)
	}
	return nil
}

// ForgetAnswer takes a note away; that there is none is fine.
func (g *Gate) ForgetAnswer(a Answer) error {
	if err := g.objects.Answers.Delete(answerKey(a)); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
		return fmt.Errorf("forget the answers from %v to %v: %w", a.Src, a.Dst, err)
	}
	return nil
}

// Answers returns what is noted, also by the daemon before this one.
func (g *Gate) Answers() (all []Answer, err error) {
	var (
		key   kernelAnswerKey
		value uint32
	)
	it := g.objects.Answers.Iterate()
	for it.Next(&key, &value) {
		all = append(all, answerOf(key))
	}
	if err := it.Err(); err != nil {
		return nil, fmt.Errorf("read the notes of answers: %w", err)
	}
	return all, nil
}

// forgetAnswers takes all notes away.
func (g *Gate) forgetAnswers() error {
	all, err := g.Answers()
	for _, a := range all {
		err = errors.Join(err, g.ForgetAnswer(a))
	}
	return err
}

func answerKey(a Answer) (k kernelAnswerKey) {
	copy(k.Src[:], a.Src.AsSlice())
	copy(k.Dst[:], a.Dst.AsSlice())
	k.Sport, k.Dport, k.Proto, k.Family = a.SrcPort, a.DstPort, a.Proto, 6
	if a.Src.Is4() {
		k.Family = 4
	}
	return k
}

func answerOf(k kernelAnswerKey) Answer {
	a := Answer{Src: netip.AddrFrom16(k.Src), Dst: netip.AddrFrom16(k.Dst), Proto: k.Proto, SrcPort: k.Sport, DstPort: k.Dport}
	if k.Family == 4 {
		a.Src, a.Dst = netip.AddrFrom4([4]byte(k.Src[:])), netip.AddrFrom4([4]byte(k.Dst[:]))
	}
	return a
}
