// SPDX-License-Identifier: Apache-2.0

// Package topologytest builds topologies for as long as a test runs.
package topologytest

import (
	"testing"

	"github.com/vishvananda/netlink"

	"github.com/holdfast-project/holdfast/internal/labtest"
	"github.com/holdfast-project/holdfast/lab/topology"
)

// Build makes a topology that goes with the test, and whose remains fail it. The test is skipped where the machine lacks root or one of the tools.
func Build(tb testing.TB, spec topology.Spec, tools ...string) *topology.Lab {
	tb.Helper()
	labtest.Require(tb, tools...)
	lab, err := topology.Build(spec)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := lab.Close(); err != nil {
			tb.Error(err)
		}
	})
	return lab
}

// Routed is Build of the usual topology with two members, the first of which routes, without cluster software.
func Routed(tb testing.TB, name string, tools ...string) *topology.Lab {
	tb.Helper()
	spec := topology.DefaultSpec(name, 2)
	spec.Router = topology.MemberName(0)
	return Build(tb, spec, tools...)
}

// Node finds a node.
func Node(tb testing.TB, lab *topology.Lab, name string) *topology.Node {
	tb.Helper()
	n, err := lab.Node(name)
	if err != nil {
		tb.Fatal(err)
	}
	return n
}

// Change does something to a device of a node.
func Change(tb testing.TB, n *topology.Node, device string, do func(*netlink.Handle, netlink.Link) error) {
	tb.Helper()
	h, err := n.NS.Handle()
	if err != nil {
		tb.Fatal(err)
	}
	defer h.Close()
	link, err := h.LinkByName(device)
	if err != nil {
		tb.Fatal(err)
	}
	if err := do(h, link); err != nil {
		tb.Fatal(err)
	}
}
