// SPDX-License-Identifier: Apache-2.0

package topology

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/holdfast-project/holdfast/lab/netns"
)

// Kind is what a node is.
type Kind string

// The kinds of nodes.
const (
	Member  Kind = "member"
	Client  Kind = "client"
	Server  Kind = "server"
	Manager Kind = "manager"
	Watcher Kind = "watcher" // an end station for probers, one on each segment that carries VIPs: watch-ext, ...
	Switch  Kind = "switch"  // the namespace of all bridges
)

// Lab is a built topology. Its maps and slices are fixed once Build has returned, but Renew replaces a node's namespace.
type Lab struct {
	Spec   Spec
	Switch *Node   // holds a bridge for each segment, named like it, and all switch ports
	Nodes  []*Node // members in order, clients, servers, managers, watchers; without the switch
}

// Node is one station.
type Node struct {
	Name  string
	Kind  Kind
	Index int // number within its kind, from 0
	NS    *netns.NS
	Ports []*Port // one for each segment that the node is on, in the order of the spec
}

// Port is one cable: a device inside the node and a port of the segment's switch.
type Port struct {
	Node       string
	Segment    string
	Slot       int    // number of the segment in the spec
	Device     string // inside the node's namespace
	SwitchPort string // inside the switch's namespace
	MAC        net.HardwareAddr
	V4, V6     netip.Prefix // own addresses with the segment's prefix length
}

// Node returns the node of that name; "switch" is the switch.
func (l *Lab) Node(name string) (*Node, error) {
	if name == l.Switch.Name {
		return l.Switch, nil
	}
	for _, n := range l.Nodes {
		if n.Name == name {
			return n, nil
		}
	}
	return nil, fmt.Errorf("topology %s: no node %q: there are %v", l.Spec.Name, name, l.NodeNames())
}

// NodeNames lists all nodes but the switch.
func (l *Lab) NodeNames() []string {
	var names []string
	for _, n := range l.Nodes {
		names = append(names, n.Name)
	}
	return names
}

// OfKind lists the nodes of one kind, in order.
func (l *Lab) OfKind(k Kind) []*Node {
	var out []*Node
	for _, n := range l.Nodes {
		if n.Kind == k {
			out = append(out, n)
		}
	}
	return out
}

// Segment returns the number of the segment of that name.
func (l *Lab) Segment(name string) (int, error) {
	var names []string
	for i, g := range l.Spec.Segments {
		if g.Name == name {
			return i, nil
		}
		names = append(names, g.Name)
	}
	return 0, fmt.Errorf("topology %s: no segment %q: there are %v", l.Spec.Name, name, names)
}

// PortsOn lists every node's port on a segment.
func (l *Lab) PortsOn(segment string) []*Port {
	var out []*Port
	for _, n := range l.Nodes {
		for _, p := range n.Ports {
			if p.Segment == segment {
				out = append(out, p)
			}
		}
	}
	return out
}

// Port returns the node's port on a segment.
func (n *Node) Port(segment string) (*Port, error) {
	for _, p := range n.Ports {
		if p.Segment == segment {
			return p, nil
		}
	}
	return nil, fmt.Errorf("node %s has no port on segment %q", n.Name, segment)
}

// Close lets every namespace go, and with them all interfaces. Processes in them must have been ended before.
func (l *Lab) Close() error {
	var errs []error
	for _, n := range append([]*Node{l.Switch}, l.Nodes...) {
		if n != nil && n.NS != nil {
			errs = append(errs, n.NS.Close())
		}
	}
	return errors.Join(errs...)
}
