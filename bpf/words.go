// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/holdfast-project/holdfast/members/gate"
)

// Layout of the words: version 1, frozen. Offsets in bytes, native byte order. bpf/src/words.h is the same table in C. Reserved words
// are 0, and one that is put to use means nothing while it is 0, so that a gate of an earlier build can be adopted.
const (
	wordsMagic   = 0x48464757 // "HFGW"
	wordsVersion = 1
	wordsSize    = 4096

	offMagic       = 0   // u32
	offVersion     = 4   // u32
	offIncarnation = 8   // u64
	offIdentity    = 16  // u8 self, u8 members, u16 cluster
	offGroups      = 20  // u32
	offSoft        = 24  // u64 ns
	offHard        = 32  // u64 ns
	offWatch       = 40  // u64 ns
	offLinger      = 48  // u64 ns
	offWatched     = 56  // u64 boot ns
	offProbed      = 64  // u64 boot ns
	offRestarting  = 72  // u64 boot ns
	offHeard       = 80  // u64[8] boot ns
	offEcho        = 144 // u64[8] boot ns
	offBuild       = 208 // u64 number of the build whose programs are pinned, 0 not known; user space only
	offSingle      = 216 // u64 boot ns

	offGroup  = 256 // the first group
	groupSize = 128

	ports    = 32
	portSize = 24
	vipWords = 8

	offQuietLast = 2304 // u64 boot ns
	offQuiet     = 2312 // u64[64] boot ns, by slot

	offShare       = 2824 // u64, as a lease
	offShareLinger = 2832 // u64 boot ns
	offTable       = 2840 // u64: lowest bit bank, the rest since when
	offHashKey     = 2848 // u64[2]
	offSteer       = 2864 // u32 bits, see steering.go
	offSNAT        = 2868 // u32 first << 16 | last
	offBlind       = 2872 // u32, how blind the pinned programs are (blind.go); user space only
	offFlood       = 2880 // u64 boot ns: token bucket of fragments for everybody; the programs only
	offPort        = 2888 // [32]{u32 ifindex, u32, kernelIface}: the loader's copy of what most hosts have in ifaces
	offNoVIP       = 3656 // u64[8]: a set bit, no VIP has this hash (vipHash)

	offLease     = 0 // offsets within a group
	offFence     = 8
	offLingering = 16 // u64 boot ns
	offAlone     = 24 // u64 boot ns
	offClosedRx  = 32
	offClosedTx  = 40
)

// Words are the live words that decide what the gate lets through: the pinned map, mapped into this process and shared with the
// programs in the kernel. Every access is one atomic load, store or compare-and-swap; a Words is safe for concurrent use by any
// number of goroutines and processes. Groups beyond the last one panic: they are a programming error.
type Words struct {
	memory []byte
}

// OpenWords maps the words of the gate that is pinned in pinDir, for a process that does not load the gate itself (the pulse).
// The mapping stays valid when the pins go away. It needs the right to open BPF objects (CAP_BPF or root).
func OpenWords(pinDir string) (*Words, error) {
	path := filepath.Join(pinDir, pinWords)
	m, err := ebpf.LoadPinnedMap(path, nil)
	if err != nil {
		return nil, fmt.Errorf("open the gate's words %s: %w (is the gate loaded?)", path, err)
	}
	defer m.Close()
	w, err := mapWords(m)
	if err != nil {
		return nil, err
	}
	if err := w.check(); err != nil {
		return nil, errors.Join(fmt.Errorf("open %s: %w", path, err), w.Close())
	}
	return w, nil
}

func mapWords(m *ebpf.Map) (*Words, error) {
	if m.Type() != ebpf.Array || m.KeySize() != 4 || m.ValueSize() != wordsSize || m.MaxEntries() != 1 {
		return nil, fmt.Errorf("map the gate's words: %v is not one entry of %d bytes: %w", m, wordsSize, ErrLayout)
	}
	memory, err := unix.Mmap(m.FD(), 0, wordsSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("map the gate's words: %w", err)
	}
	return &Words{memory: memory}, nil
}

// check refuses words that another build wrote in another layout.
func (w *Words) check() error {
	if magic, version := w.u32(offMagic).Load(), w.u32(offVersion).Load(); magic != wordsMagic || version != wordsVersion {
		return fmt.Errorf("the gate's words have magic %#x version %d, want %#x version %d: %w",
			magic, version, wordsMagic, wordsVersion, ErrLayout)
	}
	return nil
}

func (w *Words) setTimers(soft, hard, watch, linger time.Duration) {
	w.u64(offSoft).Store(uint64(soft))
	w.u64(offHard).Store(uint64(hard))
	w.u64(offWatch).Store(uint64(watch))
	w.u64(offLinger).Store(uint64(linger))
}

// Close unmaps the words. Nothing may use w afterwards.
func (w *Words) Close() error {
	memory := w.memory
	w.memory = nil
	if memory == nil {
		return nil
	}
	if err := unix.Munmap(memory); err != nil {
		return fmt.Errorf("unmap the gate's words: %w", err)
	}
	return nil
}

// Serving returns what the gate of a group lets through at the boot time now, computed from the words as the kernel's program does.
func (w *Words) Serving(group uint8, now int64) gate.Bits {
	s := w.judged(group)
	return s.Serving(0, now)
}

// judged is what a group is judged by: all of the words that [gate.Words.Serving] looks at, the group in the place of group 0.
func (w *Words) judged(group uint8) gate.Words {
	s := gate.Words{
		Self:       uint8(w.identity()),
		Soft:       w.duration(offSoft),
		Hard:       w.duration(offHard),
		Watch:      w.duration(offWatch),
		Watched:    w.time(offWatched),
		Probed:     w.Probed(),
		Single:     w.Single(),
		Restarting: w.time(offRestarting),
		Sharing:    w.Sharing() && group == 0, Share: w.Share(), ShareLinger: w.ShareLinger(),
	}
	s.Group[0] = w.group(group)
	return s
}

// Renew stores the lease of a group: term (1 to gate.MaxTerm) renewed at the boot time now. Only the pulse may call it. One store,
// no system call, no allocation.
func (w *Words) Renew(group uint8, term uint32, now int64) {
	w.word(group, offLease).Store(uint64(gate.NewLease(term, now)))
}

// Revoke ends the lease of a group at once: the gate closes with the next packet.
func (w *Words) Revoke(group uint8) { w.word(group, offLease).Store(0) }

// SetAlone marks the group as served alone since the boot time at, or takes the mark back with 0. The mark lets a late lease serve
// up to its hard expiry as long as no probe has come since.
func (w *Words) SetAlone(group uint8, at int64) { w.word(group, offAlone).Store(uint64(at)) }

// Alone returns since when the group is marked as served alone, 0 if it is not.
func (w *Words) Alone(group uint8) int64 { return int64(w.word(group, offAlone).Load()) }

// SetSingle marks that since the boot time at no other member answers, or takes the mark back with 0. Until somebody probes, the mark
// lets a late lease serve until its hard expiry.
func (w *Words) SetSingle(at int64) { w.u64(offSingle).Store(uint64(at)) }

// Single returns since when no other member answers, 0 if one does.
func (w *Words) Single() int64 { return w.time(offSingle) }

// Probed returns when the last authentic probe came, 0 if none ever did.
func (w *Words) Probed() int64 { return w.time(offProbed) }

// SetRestarting announces until which boot time the daemon is restarting, so that no peer yields it away by courtesy; 0 ends it.
func (w *Words) SetRestarting(until int64) { w.u64(offRestarting).Store(uint64(until)) }

// QuietForGood is a time that never comes: what SetQuiet is given for an interface without carrier.
const QuietForGood int64 = math.MaxInt64

// SetQuiet makes the gate only listen on the interface of a slot (below MaxSlots) until the boot time until: it answers, admits and
// lets out nothing of the cluster's there, and takes part in CCP as ever. 0 ends it. One process may call it, from one goroutine at a time.
func (w *Words) SetQuiet(slot uint8, until int64) {
	last := w.u64(offQuietLast)
	// What decides whether an interface is looked at all comes first, and is brought down to what is needed last.
	last.Store(max(last.Load(), uint64(until)))
	w.quiet(slot).Store(uint64(until))
	var latest uint64
	for s := range uint8(gate.Slots) {
		latest = max(latest, w.quiet(s).Load())
	}
	last.Store(latest)
}

// Quiet returns until when the gate only listens on the interface of a slot; 0 or a time in the past: it does not.
func (w *Words) Quiet(slot uint8) int64 { return int64(w.quiet(slot).Load()) }

// Lease returns the lease of a group.
func (w *Words) Lease(group uint8) gate.Lease { return gate.Lease(w.word(group, offLease).Load()) }

// Fence returns the fence of a group.
func (w *Words) Fence(group uint8) gate.Fence { return gate.FenceOf(w.word(group, offFence).Load()) }

// Grant asks the own gate for a term of a group, as a YIELD with a claim asks a peer's. It returns the fence that stands
// afterwards, and whether the term is the member's. As there, an open share outlives a change of group 0's fence by the linger time.
func (w *Words) Grant(group uint8, term uint32, member uint8) (gate.Fence, bool) {
	word := w.word(group, offFence)
	for {
		old := word.Load()
		fence, granted := gate.FenceOf(old).Grant(term, member)
		if fence.Word() == old {
			return fence, granted
		}
		// Before the share closes, so that nothing is dropped in between.
		now := Boottime()
		lingers := group == 0 && w.ShareOpen(now)
		if lingers {
			w.u64(offShareLinger).Store(uint64(now + int64(w.duration(offLinger))))
		}
		if word.CompareAndSwap(old, fence.Word()) {
			return fence, granted
		}
		if lingers { // what was granted instead may be a surrender
			w.u64(offShareLinger).Store(0)
		}
	}
}

// Incarnation returns the number that the gate chose at random when it was loaded.
func (w *Words) Incarnation() uint64 { return w.u64(offIncarnation).Load() }

// Snapshot copies the words. Each word is read atomically, all of them together are not.
func (w *Words) Snapshot() gate.Words {
	identity := w.identity()
	s := gate.Words{
		Incarnation: w.Incarnation(),
		Self:        uint8(identity), Members: uint8(identity >> 8), Cluster: uint16(identity >> 16),
		GroupsInUse: w.u32(offGroups).Load(),
		Soft:        w.duration(offSoft), Hard: w.duration(offHard), Watch: w.duration(offWatch), Linger: w.duration(offLinger),
		Watched: w.time(offWatched), Probed: w.Probed(), Single: w.Single(), Restarting: w.time(offRestarting),
		Sharing: w.Sharing(), Share: w.Share(), ShareLinger: w.ShareLinger(),
	}
	for i := range s.Heard {
		s.Heard[i], s.Echo[i] = w.time(offHeard+8*i), w.time(offEcho+8*i)
	}
	for g := range s.Group {
		s.Group[g] = w.group(uint8(g))
	}
	for slot := range s.Quiet {
		s.Quiet[slot] = w.Quiet(uint8(slot))
	}
	return s
}

func (w *Words) group(g uint8) gate.Group {
	return gate.Group{
		Lease:    w.Lease(g),
		Fence:    w.Fence(g),
		Linger:   int64(w.word(g, offLingering).Load()),
		Alone:    w.Alone(g),
		ClosedRx: w.word(g, offClosedRx).Load(),
		ClosedTx: w.word(g, offClosedTx).Load(),
	}
}

// identity returns self, members and cluster in the low, second and upper two bytes, whatever the machine's byte order.
func (w *Words) identity() uint32 {
	word := w.u32(offIdentity).Load()
	b := (*[4]byte)(unsafe.Pointer(&word))
	cluster := *(*uint16)(unsafe.Pointer(&b[2]))
	return uint32(b[0]) | uint32(b[1])<<8 | uint32(cluster)<<16
}

func (w *Words) setIdentity(self, members uint8, cluster uint16) {
	var word uint32
	b := (*[4]byte)(unsafe.Pointer(&word))
	b[0], b[1] = self, members
	*(*uint16)(unsafe.Pointer(&b[2])) = cluster
	w.u32(offIdentity).Store(word)
}

func (w *Words) time(off int) int64 { return int64(w.u64(off).Load()) }

func (w *Words) duration(off int) time.Duration { return time.Duration(w.u64(off).Load()) }

func (w *Words) word(group uint8, off int) *atomic.Uint64 {
	if group >= gate.Groups {
		panic(fmt.Sprintf("bpf: group %d, there are %d", group, gate.Groups))
	}
	return w.u64(offGroup + groupSize*int(group) + off)
}

func (w *Words) quiet(slot uint8) *atomic.Uint64 {
	if slot >= gate.Slots {
		panic(fmt.Sprintf("bpf: interface slot %d, there are %d", slot, gate.Slots))
	}
	return w.u64(offQuiet + 8*int(slot))
}

// The mapping is page-aligned and every offset a multiple of its word's size, as the atomics require.
func (w *Words) u64(off int) *atomic.Uint64 { return (*atomic.Uint64)(unsafe.Pointer(&w.memory[off])) }

func (w *Words) u32(off int) *atomic.Uint32 { return (*atomic.Uint32)(unsafe.Pointer(&w.memory[off])) }
