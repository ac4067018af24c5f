// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"fmt"
	"net/netip"
	"strings"

	"github.com/holdfast-project/holdfast/dataplane/link"
)

// need is something without which packets of one family are not passed on by an interface of the cluster, although it has carrier and
// all members hear each other on it.
type need struct {
	to  netip.Addr // another member's own address there, which a route leads to directly; invalid: forwarding
	six bool       // the family, of forwarding
}

// way is an interface that carries virtual addresses, and what it needs.
type way struct {
	slot  uint8
	index int
	named string
	own   []netip.Prefix // for words
	needs []need
}

// blocked says of an interface why it passes nothing on, "" if it does.
type blocked struct {
	slot uint8
	why  string
}

// ways looks once a second whether the kernel still passes on what comes in, beside the loop. Only what was there once can be missing: some
// clusters forward nothing and only answer, some have their routes elsewhere, and neither is for this program to judge.
type ways struct {
	direct    func(to netip.Addr, index int) (bool, error)
	forwarded func(w way, six bool) (bool, error)
	ask       chan []way
	found     chan []blocked
}

// wayNeed is a need of one interface.
type wayNeed struct {
	slot uint8
	need need
}

func newWays() ways {
	return ways{forwarded: forwarded, ask: make(chan []way, 1), found: make(chan []blocked)}
}

// serve looks whenever it is asked to, until ctx ends, and tells what is other than before.
func (w ways) serve(ctx context.Context) error {
	if w.direct == nil {
		routes, err := link.OpenRoutes()
		if err != nil {
			return err
		}
		defer routes.Close()
		w.direct = routes.Direct
	}
	seen, said := map[wayNeed]bool{}, map[uint8]string{}
	for {
		select {
		case <-ctx.Done():
			return nil
		case all := <-w.ask:
			var news []blocked
			for _, i := range all {
				if why, known := w.look(i, seen); known && why != said[i.slot] {
					said[i.slot] = why
					news = append(news, blocked{i.slot, why})
				}
			}
			if len(news) == 0 {
				continue
			}
			select {
			case <-ctx.Done():
				return nil
			case w.found <- news:
			}
		}
	}
}

// look says what an interface lacks of what it once had, and whether that is known: a kernel that does not answer has not said no.
func (w ways) look(i way, seen map[wayNeed]bool) (why string, known bool) {
	var all []string
	for _, n := range i.needs {
		var there bool
		var err error
		if n.to.IsValid() {
			there, err = w.direct(n.to, i.index)
		} else {
			there, err = w.forwarded(i, n.six)
		}
		if err != nil {
			return "", false
		}
		k := wayNeed{i.slot, n}
		seen[k] = seen[k] || there
		if !there && seen[k] {
			all = append(all, i.lacks(n))
		}
	}
	return strings.Join(all, "; "), true
}

// lacks says in words what is missing. The first hundred bytes are what other members show.
func (i way) lacks(n need) string {
	if !n.to.IsValid() {
		return fmt.Sprintf("%s is not forwarded any more: net.%s is 0", family(n.six), strings.ReplaceAll(forwardingOf(i.named, n.six), "/", "."))
	}
	for _, own := range i.own {
		if own.Contains(n.to) {
			return fmt.Sprintf("its network %v is out of reach: set the address %v again, or the route", own.Masked(), own)
		}
	}
	return fmt.Sprintf("%v is out of reach: no route leads there any more", n.to)
}

func family(six bool) string {
	if six {
		return "IPv6"
	}
	return "IPv4"
}

// forwardingOf is the setting that decides whether packets that come in on a device are forwarded.
func forwardingOf(named string, six bool) string {
	if six {
		return "ipv6/conf/all/forwarding" // that of a device says something else
	}
	return "ipv4/conf/" + named + "/forwarding"
}

func forwarded(w way, six bool) (bool, error) {
	value := setting(forwardingOf(w.named, six))
	if value == "" {
		return false, fmt.Errorf("net/%s cannot be read", forwardingOf(w.named, six))
	}
	return value != "0", nil
}

// askWays has looked whether interfaces pass on what comes in; those that are down have a reason of their own not to.
func (n *node) askWays() {
	var all []way
	four, six := n.forwardingFamilies()
	for _, p := range n.ports {
		if !p.serves() || !p.up || !p.carrier {
			continue
		}
		w := way{slot: p.Slot, index: p.index, named: p.named, own: n.local.Self.Interfaces[p.Name].Addresses}
		for _, v := range firstOfEachFamily(p) {
			if to, ok := n.neighbourMember(p, v.Is6()); ok {
				w.needs = append(w.needs, need{to: to})
			}
			if !v.Is6() && four || v.Is6() && six {
				w.needs = append(w.needs, need{six: v.Is6()})
			}
		}
		all = append(all, w)
	}
	select {
	case n.ways.ask <- all:
	default: // it still looks
	}
}

// forwardingFamilies says for which families there is something to forward: one interface alone needs none.
func (n *node) forwardingFamilies() (four, six bool) {
	count := map[bool]int{}
	for _, p := range n.ports {
		if !p.serves() {
			continue
		}
		for _, v := range firstOfEachFamily(p) {
			count[v.Is6()]++
		}
	}
	return count[false] > 1, count[true] > 1
}

// neighbourMember is another member's own address on a port, in a network in which this member has one.
func (n *node) neighbourMember(p *port, six bool) (netip.Addr, bool) {
	for _, m := range n.cfg.Members {
		if m.ID == n.local.Self.ID {
			continue
		}
		for _, theirs := range m.Interfaces[p.Name].Addresses {
			for _, own := range n.local.Self.Interfaces[p.Name].Addresses {
				if theirs.Addr().Is6() == six && own.Contains(theirs.Addr()) {
					return theirs.Addr(), true
				}
			}
		}
	}
	return netip.Addr{}, false
}

// waysFound takes what is other than before.
func (n *node) waysFound(news []blocked) {
	for _, b := range news {
		for _, p := range n.ports {
			if p.Slot != b.slot {
				continue
			}
			p.blocked = b.why
			n.linkStep(p)
			if b.why != "" {
				n.log.Error("an interface of the cluster passes nothing on", "interface", p.Name, "device", p.named, "reason", b.why)
			} else {
				n.log.Info("an interface of the cluster passes packets on again", "interface", p.Name, "device", p.named)
			}
		}
	}
}
