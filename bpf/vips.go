// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/cilium/ebpf"

	"github.com/holdfast-project/holdfast/members/gate"
)

const vipProxy = 1

// SetVIPs makes v the whole set of the cluster's addresses. Those that stay are answered without a gap. An address may be there
// once only, unless it is link-local: then once at each interface.
func (g *Gate) SetVIPs(v []VIP) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	want := make(map[kernelVipKey]kernelVip, len(v))
	groups := uint32(1)
	for _, vip := range v {
		key, value, err := vip.entry()
		if err != nil {
			return fmt.Errorf("set VIPs: %w", err)
		}
		if _, ok := want[key]; ok {
			return fmt.Errorf("set VIPs: %v is there twice", vip.Addr)
		}
		want[key] = value
		groups |= 1 << vip.Group
	}
	// A group is closed before its first VIP comes, and until its last has gone.
	inUse := g.words.u32(offGroups)
	inUse.Store(inUse.Load() | groups)
	stale, err := g.staleVIPs(want)
	if err != nil {
		return fmt.Errorf("set VIPs: %w", err)
	}
	g.words.mayBeVIPs(want)
	for key, value := range want {
		if err := g.objects.Vips.Put(key, value); err != nil {
			return fmt.Errorf("set VIP %v: %w", key.addr(), err)
		}
	}
	for _, key := range stale {
		if err := g.objects.Vips.Delete(key); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
			return fmt.Errorf("remove VIP %v: %w", key.addr(), err)
		}
	}
	g.words.setNoVIPs(want)
	inUse.Store(groups)
	return nil
}

func (g *Gate) staleVIPs(want map[kernelVipKey]kernelVip) ([]kernelVipKey, error) {
	var (
		key   kernelVipKey
		value kernelVip
		stale []kernelVipKey
	)
	it := g.objects.Vips.Iterate()
	for it.Next(&key, &value) {
		if _, ok := want[key]; !ok {
			stale = append(stale, key)
		}
	}
	return stale, it.Err()
}

func (v VIP) entry() (key kernelVipKey, value kernelVip, err error) {
	addr := v.Addr.Unmap().WithZone("")
	switch {
	case !addr.IsValid() || addr.IsUnspecified() || addr.IsMulticast():
		return key, value, fmt.Errorf("%v is no address of a host", v.Addr)
	case v.Group >= gate.Groups:
		return key, value, fmt.Errorf("%v: group %d, there are %d", v.Addr, v.Group, gate.Groups)
	case v.VLAN > 4094:
		return key, value, fmt.Errorf("%v: VLAN %d, want 1 to 4094, or 0 for untagged", v.Addr, v.VLAN)
	case v.Index <= 0:
		return key, value, fmt.Errorf("%v: no interface", v.Addr)
	}
	key.Family = 6
	if addr.Is4() {
		key.Family = 4
	}
	copy(key.Addr[:], addr.AsSlice())
	if addr.Is6() && addr.IsLinkLocalUnicast() {
		key.Ifindex = uint32(v.Index)
	}
	value = kernelVip{Ifindex: uint32(v.Index), Vlan: v.VLAN, Group: v.Group}
	if v.Proxy {
		value.Flags = vipProxy
	}
	return key, value, nil
}

func (k kernelVipKey) addr() netip.Addr {
	if k.Family == 4 {
		return netip.AddrFrom4([4]byte(k.Addr[:4]))
	}
	return netip.AddrFrom16(k.Addr)
}
