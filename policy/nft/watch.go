// SPDX-License-Identifier: Apache-2.0

package nft

import (
	"context"
	"encoding/binary"
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
// at its beginning and after each event that concerns one of its tables, which takes nft a second for 10,000 rules and 100,000 elements,
// and some milliseconds for hundreds. Elements of kept and of dynamic sets are not the ruleset's: they may change. Cancel ctx before a commit, and
// watch again with the new generation's baseline.
func (k *Kernel) Watch(ctx context.Context, b *Baseline, tell func(Drift)) error {
	c, err := dial(k.options.Namespace)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.JoinGroup(unix.NFNLGRP_NFTABLES); err != nil {
		return fmt.Errorf("nftables: events: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { _ = c.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	w := watcher{kernel: k, base: b, tell: tell}
	if err := w.compare(ctx); err != nil {
		return ended(ctx, err)
	}
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
		case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, unix.ENOBUFS): // compare
		case err != nil:
			return ended(ctx, fmt.Errorf("nftables: events: %w", err))
		case !touched:
			continue
		}
		if err := w.compare(ctx); err != nil {
			return ended(ctx, err)
		}
	}
	return nil
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
	last   []ruleset.Change
}

// receive reads some events; touched: one is about a table of the baseline.
func (w *watcher) receive(c conn) (touched bool, err error) {
	messages, err := c.Receive()
	for _, m := range messages {
		if len(m.Data) < 4 {
			continue
		}
		if m.Header.Type == netlink.HeaderType(msgNewGen) {
			w.author(m.Data[4:])
			continue
		}
		touched = touched || w.concerns(uint16(m.Header.Type), m.Data[0], m.Data[4:])
	}
	return touched, err
}

// author reads who made a transaction (NFTA_GEN_PROC_PID, NFTA_GEN_PROC_NAME).
func (w *watcher) author(attrs []byte) {
	var pid uint32
	var name string
	if attributes(attrs, func(typ uint16, v []byte) {
		switch {
		case typ == 2 && len(v) == 4:
			pid = binary.BigEndian.Uint32(v)
		case typ == 3:
			name = strings.TrimRight(string(v), "\x00")
		}
	}) == nil {
		w.by = fmt.Sprintf("%s (%d)", name, pid)
	}
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
	changes, err := w.kernel.Compare(ctx, w.base)
	if err != nil {
		return err
	}
	if !reflect.DeepEqual(changes, w.last) {
		by := w.by
		if by == "" {
			by = "somebody" // before the watch began
		}
		w.last = changes
		w.tell(Drift{By: by, Changes: changes})
	}
	return nil
}
