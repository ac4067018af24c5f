// SPDX-License-Identifier: Apache-2.0

package node

import (
	"testing"

	"github.com/holdfast-project/holdfast/dataplane/link"
	"github.com/holdfast-project/holdfast/internal/config"
)

func TestBondFault(t *testing.T) {
	for _, k := range []struct {
		bond  link.Bond
		least int
		want  string
	}{
		{link.Bond{}, 0, ""},
		{link.Bond{Name: "bond0"}, 0, ""},
		{link.Bond{Name: "bond0", Up: 2, Links: 2}, 2, ""},
		{link.Bond{Name: "bond0", Up: 2, Links: 3}, 2, ""},
		{link.Bond{Name: "bond0", Up: 1, Links: 2}, 2, "bond0: 1 of 2 links up, needs 2"},
		{link.Bond{Name: "bond0"}, 1, "bond0: 0 of 0 links up, needs 1"},
		{link.Bond{}, 1, "eth0 is no bond, nor on one, and needs 1 links up"},
	} {
		if got := bondFault("eth0", k.bond, k.least); got != k.want {
			t.Errorf("%+v, %d needed: %q, want %q", k.bond, k.least, got, k.want)
		}
	}
}

// TestPortFault: the machine hears of too few links while frames pass, and not before the watcher has counted them.
func TestPortFault(t *testing.T) {
	p := port{Interface: config.Interface{Name: "outside", MinLinks: 2}, device: "bond0.7", index: 3, carrier: true}
	if l := p.link(); !l.Up || l.Fault != "" {
		t.Errorf("before the first look: %+v", l)
	}
	p.looked, p.bond = true, link.Bond{Name: "bond0", Up: 1, Links: 2}
	if l := p.link(); !l.Up || l.Fault != "bond0: 1 of 2 links up, needs 2" {
		t.Errorf("one link of two: %+v", l)
	}
	p.carrier = false
	if l := p.link(); l.Up || l.Fault != "" {
		t.Errorf("no carrier: %+v", l)
	}
	p.carrier, p.unsent = true, true
	if l := p.link(); l.Up || l.Fault != "transmit down: the kernel takes no frame for bond0.7" {
		t.Errorf("nothing leaves: %+v", l)
	}
}
