// SPDX-License-Identifier: Apache-2.0

package nft

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"

	"github.com/mdlayher/netlink"
	"github.com/mdlayher/netlink/nltest"

	"github.com/holdfast-project/holdfast/policy/bootfilter"
)

// interloper is a kernel whose every load by nft is followed at once by a command of somebody else's.
func (p *place) interloper(after string) *Kernel {
	p.t.Helper()
	command := filepath.Join(p.t.TempDir(), "nft")
	script := "#!/bin/sh\nnft \"$@\" || exit\nif [ \"$1\" = -f ]; then nft '" + after + "' 2>/dev/null; fi\ntrue\n"
	if err := os.WriteFile(command, []byte(script), 0o700); err != nil { //nolint:gosec // it is to be executed
		p.t.Fatal(err)
	}
	o := p.kernel().options
	o.Command = command
	return New(o)
}

// TestInterloper: what somebody writes between a load and its reading is not taken for what was loaded.
func TestInterloper(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	k := p.interloper("insert rule inet holdfast_boot forward accept")
	if err := k.LoadBootFilter(t.Context(), &bootfilter.Filter{}); err != nil {
		t.Fatal(err)
	}
	if holds, err := k.HoldsBootFilter(); err != nil || holds {
		t.Errorf("a filter with somebody's rule: holds %v, %v", holds, err)
	}
	if err := k.RemoveBootFilter(t.Context()); err != nil {
		t.Fatal(err)
	}
	install(t, p.kernel(), bundle(t, 1, plain))
	for harm, sure := range map[string]bool{"add rule inet filter.g2 forward accept": false, "list tables": true} {
		k := p.interloper(harm)
		g := bundle(t, 2, plain)
		if _, err := k.Prepare(t.Context(), g); err != nil {
			t.Fatal(err)
		}
		if r, err := k.Commit(t.Context(), g); err != nil || r.Sure != sure {
			t.Errorf("%s: %v, sure %v", harm, err, r.Sure)
		}
		if _, _, err := k.Rollback(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
	}
}

// TestLostEvents: a transaction that the kernel did not tell of may have been about the policy.
func TestLostEvents(t *testing.T) {
	t.Parallel()
	var told uint32
	c := conn{Conn: nltest.Dial(func([]netlink.Message) ([]netlink.Message, error) {
		return []netlink.Message{message(msgNewGen, 0, 0, attribute(nil, genID, binary.BigEndian.AppendUint32(nil, told)))}, nil
	})}
	defer c.Close() //nolint:errcheck // it is no socket
	w := watcher{base: &Baseline{}, seen: 5}
	for _, s := range []struct {
		id      uint32
		touched bool
	}{{5, false}, {6, false}, {8, true}, {7, false}, {9, false}, {11, true}} {
		told = s.id
		if touched, err := w.receive(c); err != nil || touched != s.touched {
			t.Errorf("transaction %d: touched %v, %v", s.id, touched, err)
		}
	}
	if w.seen != 11 {
		t.Errorf("seen %d", w.seen)
	}
}
