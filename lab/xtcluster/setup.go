// SPDX-License-Identifier: Apache-2.0

package xtcluster

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"os/exec"
	"strconv"
	"unsafe"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/holdfast-project/holdfast/lab/netns"
	"github.com/holdfast-project/holdfast/lab/topology"
)

// Command is the one that loads the rules; it is in Debian's package iptables.
const Command = "iptables-nft"

// seed is of the hash; any will do, if all members have the same.
const seed = 0x686f6c64

// MAC is the multicast MAC that stands for the virtual address of segment i.
func MAC(i int) net.HardwareAddr { return net.HardwareAddr{0x01, 0x00, 0x5e, 0x00, byte(i + 1), 0x01} }

// Setup makes the members of a topology share what its end stations send to their router, the virtual address of each segment. It goes
// with the topology.
func Setup(lab *topology.Lab) error {
	if err := Flood(lab); err != nil {
		return err
	}
	members := lab.OfKind(topology.Member)
	return each(lab, func(_ int, segment topology.Segment) error {
		for _, m := range members {
			if err := share(m, segment.Name, len(members)); err != nil {
				return fmt.Errorf("xt_cluster on %s at %s: %w", m.Name, segment.Name, err)
			}
		}
		return nil
	})
}

// Flood lets every member receive what the end stations send to their router, without saying who takes it.
func Flood(lab *topology.Lab) error {
	if err := point(lab); err != nil {
		return err
	}
	for _, m := range lab.OfKind(topology.Member) {
		if err := listen(lab, m); err != nil {
			return err
		}
	}
	return nil
}

// point makes the end stations send to a multicast MAC what they send to their router.
func point(lab *topology.Lab) error {
	return each(lab, func(i int, segment topology.Segment) error {
		for _, p := range lab.PortsOn(segment.Name) {
			n, err := lab.Node(p.Node)
			if err != nil {
				return err
			}
			if n.Kind != topology.Client && n.Kind != topology.Server {
				continue
			}
			if err := direct(n, p, lab.Spec.Route4(i), MAC(i)); err != nil {
				return fmt.Errorf("multicast MAC of the router of %s: %w", n.Name, err)
			}
		}
		return nil
	})
}

// listen lets a member receive what is sent to the multicast MACs.
func listen(lab *topology.Lab, m *topology.Node) error {
	return each(lab, func(i int, segment topology.Segment) error {
		return m.NS.Do(func() error { return join(segment.Name, MAC(i)) })
	})
}

// each goes through the segments that have a router.
func each(lab *topology.Lab, do func(int, topology.Segment) error) error {
	for i, segment := range lab.Spec.Segments {
		if !segment.Role.HasVIPs() {
			continue
		}
		if err := do(i, segment); err != nil {
			return err
		}
	}
	return nil
}

// share makes a member drop at a device what is another's of n.
func share(m *topology.Node, device string, n int) error {
	args := append([]string{"-w", "-t", "mangle", "-A", "PREROUTING", "-i", device}, drop(n, 1<<m.Index)...)
	cmd := exec.Command(Command, args...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := netns.Start(netns.Place{Net: m.NS}, cmd)
	if err == nil {
		err = cmd.Wait()
	}
	if err != nil {
		return fmt.Errorf("%s: %w: %s", Command, err, bytes.TrimSpace(out.Bytes()))
	}
	return nil
}

// drop is the end of a rule that drops what is of none of the shares held, a bit each, of n members.
func drop(n int, held uint) []string {
	return []string{
		"-m", "cluster", "--cluster-total-nodes", strconv.Itoa(n), "!", "--cluster-local-nodemask", strconv.FormatUint(uint64(held), 10),
		"--cluster-hash-seed", strconv.Itoa(seed), "-j", "DROP",
	}
}

// join adds a MAC to those that a device receives (SIOCADDMULTI of netdevice(7)), as "ip maddr add" does.
func join(device string, mac net.HardwareAddr) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	req := struct {
		name   [unix.IFNAMSIZ]byte
		family uint16
		data   [14]byte
		_      [8]byte // struct ifreq is 40 bytes
	}{family: unix.AF_UNSPEC}
	copy(req.name[:unix.IFNAMSIZ-1], device)
	copy(req.data[:], mac)
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCADDMULTI, uintptr(unsafe.Pointer(&req))); errno != 0 {
		return fmt.Errorf("receive frames for %s at %s: %w", mac, device, errno)
	}
	return nil
}

// direct gives an end station a static neighbour.
func direct(n *topology.Node, p *topology.Port, ip netip.Addr, mac net.HardwareAddr) error {
	h, err := n.NS.Handle()
	if err != nil {
		return err
	}
	defer h.Close()
	dev, err := h.LinkByName(p.Device)
	if err != nil {
		return err
	}
	return h.NeighSet(&netlink.Neigh{
		LinkIndex: dev.Attrs().Index, Family: netlink.FAMILY_V4, State: netlink.NUD_PERMANENT, IP: ip.AsSlice(), HardwareAddr: mac,
	})
}
