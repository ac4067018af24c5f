// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"encoding/binary"
	"errors"
	"unsafe"

	"github.com/cilium/ebpf"
)

// What is in the words of the maps: copies, so that most packets need no look into a hash map. A gate of an older build knows nothing of them,
// and may have changed the maps: whoever adopts it forgets the copies before its own programs read them, and makes them anew.

// putIfaceEntry stores what the programs know of an interface.
func (g *Gate) putIfaceEntry(index int, value kernelIface) error {
	if err := g.objects.Ifaces.Put(uint32(index), value); err != nil {
		return err
	}
	g.words.setPort(index, value)
	return nil
}

// deleteIfaceEntry takes it away; an interface that is not known is no error.
func (g *Gate) deleteIfaceEntry(index int) error {
	g.words.clearPort(index)
	if err := g.objects.Ifaces.Delete(uint32(index)); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
		return err
	}
	return nil
}

// copyMaps makes the copies of what is in the maps.
func (g *Gate) copyMaps() error {
	var (
		index uint32
		value kernelIface
		key   kernelVipKey
		vip   kernelVip
		vips  = make(map[kernelVipKey]kernelVip)
	)
	it := g.objects.Ifaces.Iterate()
	for it.Next(&index, &value) {
		g.words.setPort(int(index), value)
	}
	if err := it.Err(); err != nil {
		return err
	}
	it = g.objects.Vips.Iterate()
	for it.Next(&key, &vip) {
		vips[key] = vip
	}
	if err := it.Err(); err != nil {
		return err
	}
	g.words.setNoVIPs(vips)
	return nil
}

func (w *Words) forgetCopies() {
	for off := offPort; off < offPort+ports*portSize; off += portSize {
		w.u32(off).Store(0)
	}
	for i := range vipWords {
		w.u64(offNoVIP + 8*i).Store(0)
	}
}

// setPort copies an interface's entry to its place, which the last of those that share it has.
func (w *Words) setPort(index int, value kernelIface) {
	off := offPort + portSize*(index%ports)
	halves := (*[2]uint64)(unsafe.Pointer(&value))
	if w.u32(off).Load() == uint32(index) && w.u64(off+8).Load() == halves[0] && w.u64(off+16).Load() == halves[1] {
		return
	}
	w.u32(off).Store(0) // nobody reads half of it
	w.u64(off + 8).Store(halves[0])
	w.u64(off + 16).Store(halves[1])
	w.u32(off).Store(uint32(index))
}

func (w *Words) clearPort(index int) {
	w.u32(offPort+portSize*(index%ports)).CompareAndSwap(uint32(index), 0)
}

// setNoVIPs says of which hashes no VIP is.
func (w *Words) setNoVIPs(vips map[kernelVipKey]kernelVip) {
	var taken [vipWords]uint64
	for key := range vips {
		h := key.hash()
		taken[h>>6] |= 1 << (h & 63)
	}
	for i := range taken {
		w.u64(offNoVIP + 8*i).Store(^taken[i])
	}
}

// mayBeVIPs has the programs look for VIPs of these hashes, too.
func (w *Words) mayBeVIPs(vips map[kernelVipKey]kernelVip) {
	for key := range vips {
		h := key.hash()
		w.u64(offNoVIP + 8*int(h>>6)).And(^(uint64(1) << (h & 63)))
	}
}

// hash is is_no_vip's (src/address.h), 0 to 511.
func (k kernelVipKey) hash() uint32 {
	var folded uint32
	for i := 0; i < len(k.Addr); i += 4 {
		folded ^= binary.NativeEndian.Uint32(k.Addr[i:])
	}
	return folded * 0x9e3779b1 >> 23
}
