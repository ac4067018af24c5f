// SPDX-License-Identifier: Apache-2.0

package topology

import (
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/holdfast-project/holdfast/lab/netns"
)

// setThreaded moves the device's NAPI into a kernel thread, through a sysfs of the namespace's own that nobody else
// sees and that goes with the thread that mounted it.
func setThreaded(ns *netns.NS, device string) error {
	return ns.Do(func() error {
		if err := unix.Unshare(unix.CLONE_FS | unix.CLONE_NEWNS); err != nil {
			return fmt.Errorf("unshare mounts: %w", err)
		}
		if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
			return fmt.Errorf("make mounts private: %w", err)
		}
		if err := unix.Mount("sysfs", "/sys", "sysfs", 0, ""); err != nil {
			return fmt.Errorf("mount sysfs: %w", err)
		}
		path := filepath.Join("/sys/class/net", device, "threaded")
		if err := os.WriteFile(path, []byte("1"), 0o644); err != nil {
			return fmt.Errorf("threaded NAPI on %s: %w", device, err)
		}
		return nil
	})
}
