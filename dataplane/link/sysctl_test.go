// SPDX-License-Identifier: Apache-2.0

package link

import (
	"errors"
	"io/fs"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/holdfast-project/holdfast/dataplane/link/linktest"
)

// TestSysctlsReadOnly: where the host's settings cannot be changed, what is as it must be does, and what is not is named with the way out.
func TestSysctlsReadOnly(t *testing.T) {
	linktest.New(t).Do(func() error {
		// The thread ends with its namespaces.
		if err := errors.Join(unix.Unshare(unix.CLONE_NEWNS), unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""),
			unix.Mount("/proc/sys", "/proc/sys", "", unix.MS_BIND, ""),
			unix.Mount("", "/proc/sys", "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY, "")); err != nil {
			return err
		}
		const path = "ipv4/conf/all/arp_announce"
		err := writeSysctl(path, "2")
		if !errors.Is(err, unix.EROFS) {
			t.Errorf("set on what is mounted read-only: %v", err)
			return nil
		}
		for _, says := range []string{"mount /proc/sys so that it can be written", "net/" + path + "=2"} {
			if !strings.Contains(err.Error(), says) {
				t.Errorf("%v, want %q", err, says)
			}
		}
		if err := writeSysctl("ipv4/nothing", "2"); !errors.Is(err, fs.ErrNotExist) || strings.Contains(err.Error(), "mount") {
			t.Errorf("set what there is not: %v", err)
		}
		return nil
	})
}
