// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"path/filepath"
	"strings"
)

// Directories that a service sees otherwise than the host does, by the systemd settings of deploy/holdfastd.service
// (systemd.exec(5)).
var (
	privateTmp   = []string{"/tmp", "/var/tmp"}
	protectHome  = []string{"/home", "/root", "/run/user"}
	protectWrite = []string{"/usr", "/boot", "/efi", "/bin", "/sbin", "/lib", "/lib64"}
)

// Hidden says of which monitors of a member ("" for any) the path is not the host's inside of the unit holdfastd, one sentence each. They
// are no errors: another unit may run the daemon.
func (c *Cluster) Hidden(member string) (warnings []string) {
	for i := range c.Monitors {
		m := &c.Monitors[i]
		if member != "" && !m.On(member) {
			continue
		}
		path := m.Path
		if m.Type == MonitorProcess {
			path = m.PIDFile
		}
		if path == "" {
			continue
		}
		switch {
		case below(path, privateTmp):
			warnings = append(warnings, fmt.Sprintf("monitor %s: %s is the daemon's own with PrivateTmp=yes of holdfastd.service, not the host's: use a path "+
				"below /run or /var/lib, or set PrivateTmp=no in a drop-in", m.Name, path))
		case below(path, protectHome):
			warnings = append(warnings, fmt.Sprintf("monitor %s: %s is empty with ProtectHome=yes of holdfastd.service: use another path, or set "+
				"ProtectHome=read-only in a drop-in", m.Name, path))
		case m.Type == MonitorDisk && (!m.ReadOnly || m.WriteTest) && below(path, protectWrite):
			warnings = append(warnings, fmt.Sprintf("monitor %s: %s is read-only with ProtectSystem=true of holdfastd.service, which counts as a problem: set "+
				"read-only: true and no write-test, or ProtectSystem=no in a drop-in", m.Name, path))
		}
	}
	return warnings
}

// below reports whether a path is one of some directories or in one.
func below(path string, dirs []string) bool {
	path = filepath.Clean(path)
	for _, d := range dirs {
		if path == d || strings.HasPrefix(path, d+"/") {
			return true
		}
	}
	return false
}
