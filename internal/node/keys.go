// SPDX-License-Identifier: Apache-2.0

package node

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/holdfast-project/holdfast/bpf"
	"github.com/holdfast-project/holdfast/ccp"
	"github.com/holdfast-project/holdfast/internal/config"
)

// readKeys reads the key file of a configuration.
func readKeys(c *config.Cluster) ([]ccp.Key, error) {
	file, err := config.LoadKey(c.KeyFile)
	if err != nil {
		return nil, fmt.Errorf("%s: key-file: %w", c.Path, err)
	}
	keys := make([]ccp.Key, 0, len(file))
	for _, k := range file {
		keys = append(keys, ccp.Key{Number: k.Number, Key: k.Secret})
	}
	return keys, nil
}

// loadKeys takes over the keys of the key file, at the start and at a reload.
func (n *node) loadKeys(keys []ccp.Key) error {
	if err := n.wire.ring.Load(keys...); err != nil {
		return fmt.Errorf("%s: %w", n.cfg.KeyFile, err)
	}
	n.wire.keyNumbers = keyNumbers(keys)
	return n.followRing()
}

// keyNumbers names the keys of a key file for people.
func keyNumbers(keys []ccp.Key) string {
	var all []string
	for _, k := range keys {
		all = append(all, strconv.Itoa(int(k.Number)))
	}
	return strings.Join(all, ", ")
}

// followRing carries out what the ring has decided, in the order that it asks for: what is held can be opened before anything is sent
// under it, and everything is sent under the new key before that is said.
func (n *node) followRing() error {
	held, use := n.wire.ring.Held(), n.wire.ring.Use()
	var slots [bpf.KeySlots]bool
	for _, k := range held {
		slots[k.Number%bpf.KeySlots] = true
		if err := n.gate.SetKey(k.Number%bpf.KeySlots, k.Key.GateKey(n.cfg.ID), true); err != nil {
			return err
		}
	}
	n.wire.opener.SetKeys(held...)
	if n.sync.plane != nil {
		n.sync.plane.Rekey(slices.Clone(held), use.Number)
	}
	if n.wire.sealer == nil {
		n.wire.sealer = ccp.NewSealer(use.Key, use.Number, n.cfg.ID, n.local.Self.ID, n.wire.incarnation)
	}
	if n.wire.sealer.KeyNumber() != use.Number {
		n.log.Info("key rotated", "from", n.wire.sealer.KeyNumber(), "to", use.Number)
		if err := n.pulse.Reconfigure(n.pulseConfig()); err != nil {
			return err
		}
		n.wire.sealer.Rekey(use.Key, use.Number)
	}
	n.wire.ring.Adopted(use.Number)
	for slot, wanted := range slots {
		if !wanted {
			if err := n.gate.SetKey(uint8(slot), ccp.GateKey{}, false); err != nil {
				return err
			}
		}
	}
	n.wire.held = len(held)
	n.metrics.SetKeyNumber(use.Number)
	return nil
}

// heardKeys lets a peer's statement, from a bound HELLO, move the rotation on.
func (n *node) heardKeys(from uint8, key uint8, s ccp.KeyStatement) {
	ring := n.wire.ring
	ring.Opened(key)
	ring.Heard(from, s)
	if ring.Use().Number == n.wire.sealer.KeyNumber() && len(ring.Held()) == n.wire.held {
		return
	}
	if err := n.followRing(); err != nil {
		n.log.Error("rotate the key", "error", err)
	}
}

// rotation says how far a rotation has come, "" if none is open.
func (n *node) rotation() string {
	if r := n.wire.ring.Rotation(); r.Open {
		return r.Text(n.name)
	}
	return ""
}
