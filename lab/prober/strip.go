// SPDX-License-Identifier: Apache-2.0

package prober

import (
	"math/bits"
	"net/netip"
	"sort"
	"time"
)

// What a cell of a strip says beside the number of the member that answered (counted from 1 in the order of Config.Ports).
const (
	CellNobody   = '.' // asked, but not answered
	CellTwo      = '!' // one probe was answered by two at once
	CellNotAsked = ' '
)

// Strip tells in n cells of time from from on who answered for an address, one character each. It is for displays: judge with
// Window.
func (p *Prober) Strip(vip netip.Addr, from time.Time, cell time.Duration, n int) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	cells := make([]byte, n)
	for i := range cells {
		cells[i] = CellNotAsked
	}
	i, ok := p.index[vip]
	if !ok {
		return string(cells)
	}
	probes := p.targets[i].probes
	begin := int64(from.Sub(p.start))
	for k := sort.Search(len(probes), func(k int) bool { return probes[k].sent >= begin }); k < len(probes); k++ {
		q := probes[k]
		c := (q.sent - begin) / int64(cell)
		if c >= int64(n) {
			break
		}
		switch {
		case cells[c] == CellTwo:
		case bits.OnesCount8(q.by) > 1 && q.answered-q.first <= int64(together):
			cells[c] = CellTwo
		case q.by != 0:
			cells[c] = '1' + byte(bits.TrailingZeros8(q.by))
		case cells[c] == CellNotAsked:
			cells[c] = CellNobody
		}
	}
	return string(cells)
}

// VIPs returns the addresses that are asked for.
func (p *Prober) VIPs() []netip.Addr { return append([]netip.Addr(nil), p.cfg.VIPs...) }

// Segment returns the segment's name.
func (p *Prober) Segment() string { return p.cfg.Segment }
