// SPDX-License-Identifier: Apache-2.0

package nft

import (
	"context"
	"errors"
	"fmt"
	"os"
	"reflect"
	"strings"
	"time"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/holdfast-project/holdfast/policy/ruleset"
)

// Drift is what somebody else did to the generation in force.
type Drift struct {
	// By is who did it last, as far as the kernel tells: "nft (4711)".
	By string
	// Changes are what differs now; none: it is as it must be again.
	Changes []ruleset.Change
	// Broken are the tables, "FAMILY NAME" by the operator's names, that do not do their work any more: see Baseline.Broken.
	Broken []string
}

// String says it in words, a line for each difference.
func (d Drift) String() string {
	if len(d.Changes) == 0 {
		return "the ruleset is as installed again"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "the ruleset was changed by %s:", d.By)
	for _, c := range d.Changes {
		switch {
		case c.Removed:
			fmt.Fprintf(&b, "\n%s is gone", c.Object())
			continue
		case c.Added:
			fmt.Fprintf(&b, "\n%s is new", c.Object())
		}
		for _, l := range c.Lines {
			sign := "-"
			if l.Added {
				sign = "+"
			}
			fmt.Fprintf(&b, "\n%s: %s %s", c.Object(), sign, l.Text)
		}
	}
	return b.String()
}

const (
	// settle lets changes that come together be told together.
	settle = 20 * time.Millisecond
	// watchAll is how often the ruleset is compared though nothing was told: events may be lost.
	watchAll = 5 * time.Minute
)

// Watch tells of each change of the generation in force that somebody else made, until ctx ends. It compares the whole ruleset with b once
// at its beginning, and tells what it finds there even if that is nothing: what an earlier watch found may be mended since. It compares again
// after each event that concerns one of its tables, which takes nft a second for 10,000 rules and 100,000 elements,
// and some milliseconds for hundreds. Elements of kept and of dynamic sets are not the ruleset's: they may change. Cancel ctx before a commit, and
// watch again with the new generation's baseline.
//
// Cancel it before a Prepare as well, which would otherwise take twice as long: the kernel tells whoever listens of each rule and element. known
// is until when the ruleset is known to be as b says; if nothing happened since, the comparison at the beginning is left out. What it returns is
// the same for the watch that follows, and nothing is known after a difference.
func (k *Kernel) Watch(ctx context.Context, b *Baseline, known Known, tell func(Drift)) (Known, error) {
	c, err := dial(k.options.Namespace)
	if err != nil {
		return Known{}, err
	}
	defer c.Close()
	w := watcher{kernel: k, base: b, tell: tell}
	if err := c.JoinGroup(unix.NFNLGRP_NFTABLES); err != nil {
		return Known{}, fmt.Errorf("nftables: events: %w", err)
	}
	if w.seen, err = k.transaction(); err != nil {
		return Known{}, err
	}
	stop := context.AfterFunc(ctx, func() { _ = c.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	if w.told = known.until != 0 && known.until == w.seen; !w.told {
		if err := w.compare(ctx); err != nil {
			return Known{}, ended(ctx, err)
		}
	}
	if err := w.run(ctx, c); err != nil {
		return Known{}, ended(ctx, err)
	}
	// What has happened and was not read yet may be anything.
	now, err := k.transaction()
	if err != nil || now != w.seen || len(w.last) > 0 {
		return Known{}, nil //nolint:nilerr // the next watch compares
	}
	return Known{now}, nil
}

// Known says until which transaction of the kernel a ruleset is known to be as its baseline says. The zero value: it is not known.
type Known struct{ until uint32 }

// After is what is known after a change of this process that left the ruleset alone: as much as before, if there was no other meanwhile.
func (n Known) After(r Report) Known {
	if n.until == 0 || r.began == 0 || n.until != r.began {
		return Known{}
	}
	return Known{r.ended}
}

// Until is when a change of this process left the ruleset; nothing is known if there were others beside it.
func (r Report) Until() Known { return Known{r.ended} }

// Now is for a baseline that is about to be read: what it says holds from this moment on.
func (k *Kernel) Now() (Known, error) {
	n, err := k.transaction()
	return Known{n}, err
}

// transaction is the number of the newest one; it asks on a connection of its own, so that no event is taken for the answer.
func (k *Kernel) transaction() (uint32, error) {
	c, err := dial(k.options.Namespace)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	return c.transaction()
}

// run compares after each event until ctx ends.
func (w *watcher) run(ctx context.Context, c conn) error {
	for ctx.Err() == nil {
		if err := c.SetReadDeadline(time.Now().Add(watchAll)); err != nil {
			return err
		}
		if ctx.Err() != nil { // it ended between the two
			break
		}
		touched, err := w.receive(c)
		if touched && err == nil {
			// More of the same transaction, or of the next.
			if err := c.SetReadDeadline(time.Now().Add(settle)); err != nil {
				return err
			}
			for err == nil && ctx.Err() == nil {
				_, err = w.receive(c)
			}
		}
		switch {
		case ctx.Err() != nil && !touched && errors.Is(err, os.ErrDeadlineExceeded):
			continue // which ends it
		case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, unix.ENOBUFS): // compare
		case err != nil:
			return fmt.Errorf("nftables: events: %w", err)
		case !touched:
			continue
		}
		if err := w.compare(ctx); err != nil {
			return err
		}
	}
	return nil //nolint:nilerr // that ctx has ended is no error
}

func ended(ctx context.Context, err error) error {
	if ctx.Err() == nil {
		return err
	}
	return nil
}

type watcher struct {
	kernel *Kernel
	base   *Baseline
	tell   func(Drift)
	by     string
	told   bool // what the comparison at the beginning found, or it was left out
	last   []ruleset.Change
	seen   uint32 // the newest transaction of which all events are read, or that is compared
}

// receive reads some events; touched: one is about a table of the baseline, or may have been.
func (w *watcher) receive(c conn) (touched bool, err error) {
	messages, err := c.Receive()
	for _, m := range messages {
		if len(m.Data) < 4 {
			continue
		}
		if m.Header.Type == netlink.HeaderType(msgNewGen) {
			touched = w.author(m.Data[4:]) || touched
			continue
		}
		touched = touched || w.concerns(uint16(m.Header.Type), m.Data[0], m.Data[4:])
	}
	return touched, err
}

// author reads who made a transaction; that comes after all its other events. lost: the kernel did not tell of one before it, which may have been
// about anything. It says that it has no room for events once, and drops more until there is some.
func (w *watcher) author(attrs []byte) (lost bool) {
	t, err := generation(attrs)
	if err != nil {
		return true
	}
	w.by = fmt.Sprintf("%s (%d)", t.name, t.pid)
	if int32(t.id-w.seen) > 0 { //nolint:gosec // numbers wrap around
		lost = t.id != w.seen+1
		w.seen = t.id
	}
	return lost
}

// concerns looks for one of the baseline's tables; attribute 1 is the table's name in every message of nf_tables.
func (w *watcher) concerns(typ uint16, family uint8, attrs []byte) (yes bool) {
	var name, second string
	if attributes(attrs, func(typ uint16, v []byte) {
		switch typ {
		case 1:
			name = strings.TrimRight(string(v), "\x00")
		case 2:
			second = strings.TrimRight(string(v), "\x00")
		}
	}) != nil {
		return true
	}
	for _, t := range w.base.tables {
		if t.family != family || t.name != name {
			continue
		}
		if typ == msgNewElement || typ == msgDelElement {
			for _, s := range w.base.free {
				if s.Name == second && families[s.Family] == family && ruleset.TableName(s.Table, w.base.mark.Generation) == name {
					return false
				}
			}
		}
		return true
	}
	return false
}

func (w *watcher) compare(ctx context.Context) error {
	now, err := w.kernel.transaction()
	if err != nil {
		return err
	}
	changes, err := w.kernel.Compare(ctx, w.base)
	if err != nil {
		return err
	}
	if int32(now-w.seen) > 0 { //nolint:gosec // numbers wrap around
		w.seen = now
	}
	if !w.told || !reflect.DeepEqual(changes, w.last) {
		by := w.by
		if by == "" {
			by = "somebody" // before the watch began
		}
		w.told, w.last = true, changes
		w.tell(Drift{By: by, Changes: changes, Broken: w.base.Broken(changes)})
	}
	return nil
}
