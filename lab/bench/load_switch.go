// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/holdfast-project/holdfast/lab/topology"
)

// plainSwitches lets the switches do nothing but switch. Bridges of Linux give IP packets to netfilter unless told otherwise, give
// multicast to their own host's stack too, and flood it to the stations that watch other tests.
func (sd *loadStand) plainSwitches() error {
	lab := sd.lab
	for _, key := range []string{"bridge/bridge-nf-call-iptables", "bridge/bridge-nf-call-ip6tables", "bridge/bridge-nf-call-arptables"} {
		// Without br_netfilter there is nothing to be told.
		if err := lab.Switch.NS.Sysctl(key, "0"); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	h, err := lab.Switch.NS.Handle()
	if err != nil {
		return err
	}
	defer h.Close()
	for _, g := range lab.Spec.Segments {
		if _, err := sd.sink(lab.Switch, &topology.Port{Device: g.Name}); err != nil {
			return err
		}
	}
	for _, n := range lab.OfKind(topology.Watcher) {
		for _, p := range n.Ports {
			link, err := h.LinkByName(p.SwitchPort)
			if err == nil {
				err = h.LinkSetDown(link)
			}
			if err != nil {
				return fmt.Errorf("unplug %s: %w", p.SwitchPort, err)
			}
		}
	}
	return nil
}
