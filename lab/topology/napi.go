// SPDX-License-Identifier: Apache-2.0

package topology

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/holdfast-project/holdfast/lab/netns"
)

// ethtoolValue is struct ethtool_value of linux/ethtool.h.
type ethtoolValue struct{ cmd, data uint32 }

// ethtool commands of linux/ethtool.h that package unix lacks.
const (
	ethtoolSetTSO = 0x0000001f
	ethtoolSetGRO = 0x0000002c
)

// threadNAPI makes the node's devices receive through NAPI and that in threads. A veth has NAPI only with GRO on, and
// uses it only for frames of a peer that does no TCP segmentation offload.
func (l *Lab) threadNAPI(n *Node) error {
	for _, p := range n.Ports {
		if err := ethtool(l.Switch.NS, p.SwitchPort, ethtoolSetTSO, 0); err != nil {
			return err
		}
		if err := ethtool(n.NS, p.Device, ethtoolSetGRO, 1); err != nil {
			return err
		}
		if err := setThreaded(n.NS, p.Device); err != nil {
			return err
		}
	}
	return nil
}

func ethtool(ns *netns.NS, device string, cmd, value uint32) error {
	return ns.Do(func() error {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		arg := ethtoolValue{cmd, value}
		req := struct {
			name [unix.IFNAMSIZ]byte
			data unsafe.Pointer
			_    [16]byte // struct ifreq is 40 bytes
		}{data: unsafe.Pointer(&arg)}
		copy(req.name[:unix.IFNAMSIZ-1], device)
		if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(&req))); errno != 0 {
			return fmt.Errorf("ethtool command %#x=%d on %s: %w", cmd, value, device, errno)
		}
		return nil
	})
}
