// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
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
const MaxSlots = 64

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

// Gate is the loaded gate. It is safe for concurrent use.
type Gate struct{}

// pinWords is the pin of the words' map in the pin directory.
const pinWords = "words"

var errUnfinished = errors.New("bpf: not there yet")

// Open loads the gate, or adopts the one that is pinned in o.PinDir.
func Open(o Options) (*Gate, error) { return nil, errUnfinished }

// Remove detaches and unpins everything that is pinned in pinDir. Nothing pinned is not an error.
func Remove(pinDir string) error { return errUnfinished }

// Adopted reports whether Open found the gate loaded.
func (g *Gate) Adopted() bool { return false }

// Incarnation returns the number that the gate chose when it was loaded.
func (g *Gate) Incarnation() uint64 { return 0 }

// Attach attaches the gate to an interface, or brings what is attached in line with i: it may be called again at any time.
func (g *Gate) Attach(i Iface) error { return errUnfinished }

// Detach takes the gate off an interface. Detaching what is not attached is not an error.
func (g *Gate) Detach(index int) error { return errUnfinished }

// SetVIPs makes v the whole set of the cluster's addresses.
func (g *Gate) SetVIPs(v []VIP) error { return errUnfinished }

// SetKey stores the SipHash key of a slot, or with valid false takes it away.
func (g *Gate) SetKey(slot uint8, key [16]byte, valid bool) error { return errUnfinished }

// SetTimers changes when a lease expires; see gate.Words.
func (g *Gate) SetTimers(soft, hard, watch, linger time.Duration) error { return errUnfinished }

// Words returns the live words. They stay mapped until Close.
func (g *Gate) Words() *Words { return nil }

// Counters returns what the gate has counted since it was loaded, summed over all CPUs.
func (g *Gate) Counters() (map[Counter]uint64, error) { return nil, errUnfinished }

// AttachedAs returns how the gate is attached to the ingress of an interface, "" if it is not.
func (g *Gate) AttachedAs(index int) string { return "" }

// Close lets go of the gate and leaves it in place.
func (g *Gate) Close() error { return nil }

// Boottime returns the clock that the gate judges leases by, CLOCK_BOOTTIME, in nanoseconds.
func Boottime() int64 {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		panic(fmt.Sprintf("bpf: read CLOCK_BOOTTIME: %v", err)) // only a wrong clock number or address can fail
	}
	return ts.Nano()
}
