// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/holdfast-project/holdfast/members/gate"
)

// Attach says how the gate is to be attached at ingress.
type Attach string

// The ways to attach; the empty string means AttachAuto. See the package comment.
const (
	AttachAuto       Attach = "auto"
	AttachXDP        Attach = "xdp"         // native, or generic where the driver has no XDP
	AttachTCX        Attach = "tcx"         // or classic where there is no TCX
	AttachXDPGeneric Attach = "xdp-generic" // for tests
	AttachClassic    Attach = "classic"     // a clsact filter even where there is TCX
)

// MaxSlots is how many interface slots there are: a slot is the fifth byte of an interface's default VMAC.
const MaxSlots = gate.Slots

// KeySlots is how many keys the gate holds at once; the low two bits of a frame's key number select one.
const KeySlots = 4

// Options say which gate to load or adopt.
type Options struct {
	PinDir      string // directory on a BPF file system, of this member of this cluster alone; created if missing
	Attach      Attach // of every interface
	Self        uint8  // this member's number
	Members     uint8  // how many members the cluster has, 1 to 8
	Cluster     uint16 // cluster id
	EtherType   uint16 // of CCP; 0 means 0x88B5
	Soft        time.Duration
	Hard        time.Duration
	Watch       time.Duration
	Linger      time.Duration
	Incarnation uint64 // of the gate, not 0; used on a fresh load only
}

// Iface is an interface that the gate watches.
type Iface struct {
	Index   int     // of the interface in this network namespace
	Slot    uint8   // below MaxSlots, another one for each interface
	MAC     [6]byte // its own address
	VMAC    [6]byte // the sixth byte is ignored: it is the group
	Gated   bool    // it carries VIPs: ARP and ND, VMAC and the egress program
	UseVMAC bool    // answer with the VMAC rather than the own MAC
}

// VIP is an address that belongs to the cluster.
type VIP struct {
	Addr  netip.Addr
	Index int    // of the interface at which it is answered
	VLAN  uint16 // tag that a request must carry, 0 untagged
	Group uint8
	Proxy bool // answered only: not an address of this host, and packets to it are none of the gate's business
}

// Gate is the loaded gate. It is safe for concurrent use. Attach and Detach work in the network namespace of the calling thread.
type Gate struct {
	mu      sync.Mutex
	options Options
	objects kernelObjects
	words   *Words
	adopted bool
	orphans []string

	loadedBlind uint32 // how blind the programs are that were loaded just now (offBlind)
}

// Adopted reports whether Open found the gate loaded.
func (g *Gate) Adopted() bool { return g.adopted }

// Orphans returns the names of the pins that Open found of a gate whose words somebody had removed, and took away.
func (g *Gate) Orphans() []string { return g.orphans }

// Incarnation returns the number that the gate chose when it was loaded.
func (g *Gate) Incarnation() uint64 { return g.words.Incarnation() }

// Words returns the live words. They stay mapped until Close.
func (g *Gate) Words() *Words { return g.words }

// SetKey stores the SipHash key of a slot, below KeySlots, or with valid false takes it away.
func (g *Gate) SetKey(slot uint8, key [16]byte, valid bool) error {
	if slot >= KeySlots {
		return fmt.Errorf("set key %d of the gate: there are %d slots", slot, KeySlots)
	}
	var value kernelKey
	if valid {
		value = kernelKey{K0: binary.LittleEndian.Uint64(key[:8]), K1: binary.LittleEndian.Uint64(key[8:]), Valid: 1}
	}
	if err := g.objects.Keys.Put(uint32(slot), value); err != nil {
		return fmt.Errorf("set key %d of the gate: %w", slot, err)
	}
	return nil
}

// SetTimers changes when a lease expires; see gate.Words. Each takes effect with the next packet.
func (g *Gate) SetTimers(soft, hard, watch, linger time.Duration) error {
	if soft <= 0 || hard < soft || watch <= 0 || linger < 0 {
		return fmt.Errorf("set timers of the gate: soft %v, hard %v, watch %v, linger %v: want 0 < soft <= hard, 0 < watch, 0 <= linger",
			soft, hard, watch, linger)
	}
	g.words.setTimers(soft, hard, watch, linger)
	return nil
}

// Counters returns what the gate has counted since it was loaded, summed over all CPUs. Every counter is in the map.
func (g *Gate) Counters() (map[Counter]uint64, error) {
	sums := make(map[Counter]uint64, numCounters)
	var perCPU []uint64
	for c := range numCounters {
		if err := g.objects.Counters.Lookup(uint32(c), &perCPU); err != nil {
			return nil, fmt.Errorf("read counter %v of the gate: %w", c, err)
		}
		var sum uint64
		for _, n := range perCPU {
			sum += n
		}
		sums[c] = sum
	}
	return sums, nil
}

// Close lets go of the gate and leaves it in place.
func (g *Gate) Close() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return errors.Join(g.words.Close(), g.objects.Close())
}

// Boottime returns the clock that the gate judges leases by, CLOCK_BOOTTIME, in nanoseconds.
func Boottime() int64 {
	var ts unix.Timespec
	// The kernel answers at once: the scheduler need not know.
	if _, _, errno := syscall.RawSyscall(unix.SYS_CLOCK_GETTIME, unix.CLOCK_BOOTTIME, uintptr(unsafe.Pointer(&ts)), 0); errno != 0 {
		panic(fmt.Sprintf("bpf: read CLOCK_BOOTTIME: %v", errno)) // only a wrong clock number or address can fail
	}
	return ts.Nano()
}
