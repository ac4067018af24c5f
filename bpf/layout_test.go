// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"strings"
	"testing"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
)

// TestCounterNames compares the counters with the enumeration in C, by name and number.
func TestCounterNames(t *testing.T) {
	spec := buildOf(t)
	var enum *btf.Enum
	if err := spec.Types.TypeByName("counter", &enum); err != nil {
		t.Fatal(err)
	}
	if len(enum.Values) != int(numCounters) {
		t.Errorf("%d counters in C, %d in Go", len(enum.Values), numCounters)
	}
	for _, v := range enum.Values {
		if got, want := Counter(v.Value).String(), strings.ReplaceAll(strings.ToLower(v.Name), "_", "-"); got != want {
			t.Errorf("counter %d is %q in Go, %q in C", v.Value, got, want)
		}
	}
	if got := numCounters.String(); got != "unknown" {
		t.Errorf("a counter that is none is called %q", got)
	}
	if room := spec.Maps[kernelMapCounters].MaxEntries; uint32(numCounters) > room {
		t.Errorf("%d counters, the map has room for %d", numCounters, room)
	}
}

// TestWordsLayout compares the offsets of words.go with the struct in C.
func TestWordsLayout(t *testing.T) {
	var w kernelWords
	tests := []struct {
		name string
		got  uintptr
		want uintptr
	}{
		{"magic", unsafe.Offsetof(w.Magic), offMagic}, {"version", unsafe.Offsetof(w.Version), offVersion},
		{"incarnation", unsafe.Offsetof(w.Incarnation), offIncarnation}, {"self", unsafe.Offsetof(w.Self), offIdentity},
		{"members", unsafe.Offsetof(w.Members), offIdentity + 1}, {"cluster", unsafe.Offsetof(w.Cluster), offIdentity + 2},
		{"groups", unsafe.Offsetof(w.Groups), offGroups}, {"soft", unsafe.Offsetof(w.Soft), offSoft}, {"hard", unsafe.Offsetof(w.Hard), offHard},
		{"watch", unsafe.Offsetof(w.Watch), offWatch}, {"linger", unsafe.Offsetof(w.Linger), offLinger},
		{"watched", unsafe.Offsetof(w.Watched), offWatched}, {"probed", unsafe.Offsetof(w.Probed), offProbed},
		{"restarting", unsafe.Offsetof(w.Restarting), offRestarting}, {"heard", unsafe.Offsetof(w.Heard), offHeard},
		{"echo", unsafe.Offsetof(w.Echo), offEcho}, {"build", unsafe.Offsetof(w.Build), offBuild},
		{"single", unsafe.Offsetof(w.Single), offSingle}, {"group", unsafe.Offsetof(w.Group), offGroup},
		{"second group", unsafe.Offsetof(w.Group) + unsafe.Sizeof(w.Group[0]), offGroup + groupSize},
		{"lease", unsafe.Offsetof(w.Group[0].Lease), offLease}, {"fence", unsafe.Offsetof(w.Group[0].Fence), offFence},
		{"lingering", unsafe.Offsetof(w.Group[0].Linger), offLingering}, {"alone", unsafe.Offsetof(w.Group[0].Alone), offAlone},
		{"closed rx", unsafe.Offsetof(w.Group[0].ClosedRx), offClosedRx}, {"closed tx", unsafe.Offsetof(w.Group[0].ClosedTx), offClosedTx},
		{"quiet last", unsafe.Offsetof(w.QuietLast), offQuietLast}, {"quiet", unsafe.Offsetof(w.Quiet), offQuiet},
		{"quiet of the last slot", unsafe.Offsetof(w.Quiet) + 63*unsafe.Sizeof(w.Quiet[0]), offQuiet + 8*(MaxSlots-1)},
		{"share", unsafe.Offsetof(w.Share), offShare}, {"share linger", unsafe.Offsetof(w.ShareLinger), offShareLinger},
		{"table", unsafe.Offsetof(w.Table), offTable}, {"hash key", unsafe.Offsetof(w.HashK0), offHashKey},
		{"second half of the hash key", unsafe.Offsetof(w.HashK1), offHashKey + 8}, {"steer", unsafe.Offsetof(w.Steer), offSteer},
		{"snat", unsafe.Offsetof(w.Snat), offSNAT}, {"blind", unsafe.Offsetof(w.Blind), offBlind},
		{"flood", unsafe.Offsetof(w.Flood), offFlood},
		{"port", unsafe.Offsetof(w.Port), offPort}, {"second port", unsafe.Offsetof(w.Port) + unsafe.Sizeof(w.Port[0]), offPort + portSize},
		{"end of the ports", unsafe.Offsetof(w.Port) + unsafe.Sizeof(w.Port), offPort + ports*portSize},
		{"interface of a port", unsafe.Offsetof(w.Port[0].Iface), 8}, {"no vip", unsafe.Offsetof(w.NoVip), offNoVIP},
		{"end of no vip", unsafe.Offsetof(w.NoVip) + unsafe.Sizeof(w.NoVip), offNoVIP + 8*vipWords},
		{"size", unsafe.Sizeof(w), wordsSize},
	}
	for _, tt := range tests {
		if tt.got != tt.want {
			t.Errorf("%s: %d in C, %d in Go", tt.name, tt.got, tt.want)
		}
	}
}

// TestPinnedMapsKeepTheirLayout: a gate of any build since the first is adopted by this one, and one of this build by any older one, as
// long as no pinned map changes.
func TestPinnedMapsKeepTheirLayout(t *testing.T) {
	type layout struct {
		typ                 ebpf.MapType
		key, value, entries uint32
	}
	want := map[string]layout{
		"words":    {ebpf.Array, 4, 4096, 1},
		"vips":     {ebpf.Hash, 24, 8, 65536},
		"ifaces":   {ebpf.Hash, 4, 16, 256},
		"keys":     {ebpf.Array, 4, 24, 4},
		"sources":  {ebpf.Array, 4, 88, 512},
		"counters": {ebpf.PerCPUArray, 4, 8, 64},
	}
	spec, pinned := buildOf(t), (&Gate{}).mapSlots()
	if len(pinned) != len(want) {
		t.Errorf("%d maps are pinned, want %d: an older build would not remove another one", len(pinned), len(want))
	}
	for name := range pinned {
		m := spec.Maps[name]
		if got := (layout{m.Type, m.KeySize, m.ValueSize, m.MaxEntries}); got != want[name] {
			t.Errorf("%s: %+v, want %+v", name, got, want[name])
		}
	}
}
