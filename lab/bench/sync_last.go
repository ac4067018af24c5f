// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/holdfast-project/holdfast/lab/churn"
	"github.com/holdfast-project/holdfast/lab/topology"
)

// Of the case last-100ms.
const (
	// lastFor is for how long connections are opened before the power-off, and up to lastSpread more.
	lastFor    = 1500 * time.Millisecond
	lastSpread = 500 * time.Millisecond
	// restFor is for how long nothing may change in the survivor's table before it counts as what it took over.
	restFor = 1500 * time.Millisecond
)

// flowKey tells connections of one run apart.
type flowKey struct{ from, to netip.AddrPort }

// last opens connections at a rate, takes the serving member's power away meanwhile, and counts which of those that its kernel had
// the survivor does not know: of the last 100, 10 and 1 ms before the first process was killed.
func (sd *syncStand) last(ctx context.Context, rate int) (Measure, error) {
	m, err := sd.stage.System.Machine(sd.active.Name)
	if err != nil {
		return Measure{}, err
	}
	run, err := churn.Start(ctx, churn.Config{
		Client: sd.lab.OfKind(topology.Client)[0], Server: sd.lab.OfKind(topology.Server)[0], Rate: rate,
	})
	if err != nil {
		return Measure{}, err
	}
	err = wait(ctx, lastFor+rand.N(lastSpread))
	took := time.Duration(0)
	if err == nil {
		took, err = m.PowerOff()
	}
	killed := time.Now().Add(-took)
	_, stopErr := run.Stop()
	if err = errors.Join(err, stopErr); err != nil {
		return Measure{}, err
	}
	if err := sd.takenOver(ctx); err != nil {
		return Measure{}, err
	}
	had, err := flows(sd.active)
	if err != nil {
		return Measure{}, err
	}
	has, err := flows(sd.standby)
	if err != nil {
		return Measure{}, err
	}
	out := Measure{Values: map[string]float64{"oldest_missing_ms": 0}}
	missing := func(from, to time.Time) (opened, missing int) {
		first, end := run.Opened(from, to)
		for n := first; n < end; n++ {
			f := run.Flow(n)
			key := flowKey{f.From, f.To}
			if !had[key] {
				continue
			}
			opened++
			if !has[key] {
				missing++
				age := ms(killed.Sub(from))
				out.Values["oldest_missing_ms"] = max(out.Values["oldest_missing_ms"], age)
			}
		}
		return opened, missing
	}
	// By the millisecond, so that the oldest missing one's age is known to one.
	const ages = 100
	opened, sum := 0, 0
	for age := 1; age <= ages; age++ {
		o, n := missing(killed.Add(-time.Duration(age)*time.Millisecond), killed.Add(-time.Duration(age-1)*time.Millisecond))
		opened, sum = opened+o, sum+n
		switch age {
		case 1:
			out.Values["missing_1ms"] = float64(sum)
		case 10:
			out.Values["missing_10ms"] = float64(sum)
		case ages:
			out.Values["missing"], out.Values["opened_100ms"] = float64(sum), float64(opened)
		}
	}
	_, older := missing(killed.Add(-time.Hour), killed.Add(-ages*time.Millisecond))
	out.Values["missing_older"] = float64(older)
	if older > 0 {
		out.Note = fmt.Sprintf("%d connections older than 100 ms are missing too", older)
		delete(out.Values, "oldest_missing_ms") // not known
	}
	return out, nil
}

// takenOver waits until the standby serves and its table is what it took over.
func (sd *syncStand) takenOver(ctx context.Context) error {
	bounded, cancel := context.WithTimeout(ctx, powerPatience)
	defer cancel()
	for {
		if s := sd.stage.System.Serving(bounded); len(s) == 1 && s[0] == sd.standby.Name {
			break
		}
		if err := wait(bounded, countEvery); err != nil {
			return fmt.Errorf("%s does not take over: %w", sd.standby.Name, err)
		}
	}
	since, last := time.Now(), -1
	for time.Since(since) < restFor {
		n, err := entries(sd.standby)
		if err != nil {
			return err
		}
		if n > last {
			since, last = time.Now(), n
		}
		if err := wait(bounded, countEvery); err != nil {
			return fmt.Errorf("%s still takes over: %w", sd.standby.Name, err)
		}
	}
	return nil
}

// flows lists a member's UDP connections over IPv4 as its kernel tells them. A member without power still has its kernel's state,
// until it boots.
func flows(n *topology.Node) (map[flowKey]bool, error) {
	h, err := n.NS.Handle(unix.NETLINK_NETFILTER)
	if err != nil {
		return nil, err
	}
	defer h.Close()
	all, err := h.ConntrackTableList(netlink.ConntrackTable, unix.AF_INET)
	if err != nil {
		return nil, fmt.Errorf("%s: list its connections: %w", n.Name, err)
	}
	addr := func(ip net.IP, port uint16) netip.AddrPort {
		a, _ := netip.AddrFromSlice(ip) // the kernel's
		return netip.AddrPortFrom(a.Unmap(), port)
	}
	out := make(map[flowKey]bool, len(all))
	for _, f := range all {
		if f.Forward.Protocol == unix.IPPROTO_UDP {
			out[flowKey{addr(f.Forward.SrcIP, f.Forward.SrcPort), addr(f.Forward.DstIP, f.Forward.DstPort)}] = true
		}
	}
	return out, nil
}
