// SPDX-License-Identifier: Apache-2.0

package monitor

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/holdfast-project/holdfast/internal/monitor/verdict"
)

// iface checks what an interface carries.
type iface struct {
	polled
	Interface
	interval time.Duration
	last     netlink.LinkStatistics64
	index    int
	at       time.Time
}

// ratesLater is the reason while there is no rate yet.
const ratesLater = "rates are known after the second check"

func (i *iface) check(context.Context) verdict.Result {
	l, err := netlink.LinkByName(i.Device)
	if err != nil {
		return verdict.Wrong(fmt.Sprintf("device %s: %v", i.Device, err))
	}
	at := time.Now()
	s := l.Attrs().Statistics
	if s == nil {
		return verdict.Wrong("device " + i.Device + " has no statistics")
	}
	if i.index == l.Attrs().Index && at.Sub(i.at) < i.interval/2 {
		// The second check comes sooner than an interval, maybe at once, so that monitors do not check in step: of such a time there is no
		// rate worth a verdict.
		return verdict.Result{Outcome: verdict.Pending, Reason: ratesLater}
	}
	before, index, since := i.last, i.index, at.Sub(i.at).Seconds()
	i.last, i.index, i.at = netlink.LinkStatistics64(*s), l.Attrs().Index, at
	if index != i.index || since <= 0 || s.RxBytes < before.RxBytes || s.TxBytes < before.TxBytes { // first look, or counts from 0 again
		return verdict.Result{Outcome: verdict.Pending, Reason: ratesLater}
	}
	if reason := i.judge(before, i.last, since); reason != "" {
		return verdict.Wrong(i.Device + " " + reason)
	}
	return verdict.Fine()
}

// judge says which bound the counters of two checks break that lie some seconds apart.
func (i *Interface) judge(a, b netlink.LinkStatistics64, seconds float64) string {
	rate := func(from, to uint64) float64 { return float64(to-min(from, to)) / seconds }
	for _, r := range []struct {
		what       string
		bits, pkts float64
		Rates
	}{
		{"receives", 8 * rate(a.RxBytes, b.RxBytes), rate(a.RxPackets, b.RxPackets), i.In},
		{"sends", 8 * rate(a.TxBytes, b.TxBytes), rate(a.TxPackets, b.TxPackets), i.Out},
	} {
		for _, k := range []struct {
			unit          string
			is, low, high float64
		}{{"bit/s", r.bits, r.MinBits, r.MaxBits}, {"packets/s", r.pkts, r.MinPackets, r.MaxPackets}} {
			switch {
			case k.is < k.low:
				return fmt.Sprintf("%s %s %s, less than %s", r.what, short(k.is), k.unit, short(k.low))
			case k.high > 0 && k.is > k.high:
				return fmt.Sprintf("%s %s %s, more than %s", r.what, short(k.is), k.unit, short(k.high))
			}
		}
	}
	if n := rate(a.RxErrors+a.TxErrors, b.RxErrors+b.TxErrors); i.MaxErrors != nil && n > *i.MaxErrors {
		return fmt.Sprintf("has %s errors/s, more than %s", short(n), short(*i.MaxErrors))
	}
	if n := rate(a.RxDropped+a.TxDropped, b.RxDropped+b.TxDropped); i.MaxDrops != nil && n > *i.MaxDrops {
		return fmt.Sprintf("has %s drops/s, more than %s", short(n), short(*i.MaxDrops))
	}
	return ""
}

// short writes a rate with three digits.
func short(rate float64) string {
	for _, u := range []struct {
		size float64
		name string
	}{{1e9, "G"}, {1e6, "M"}, {1e3, "k"}} {
		if rate >= u.size {
			return strconv.FormatFloat(rate/u.size, 'g', 3, 64) + u.name
		}
	}
	return strconv.FormatFloat(rate, 'g', 3, 64)
}
