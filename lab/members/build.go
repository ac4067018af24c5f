// SPDX-License-Identifier: Apache-2.0

package members

import (
	"fmt"
	"os"
	"path/filepath"
)

// Build names a build of holdfastd; its file lies beside the one that the cluster is made with.
type Build string

// The builds that "make build" makes.
const (
	// ThisBuild is holdfastd.
	ThisBuild Build = ""
	// NextBuild is holdfastd-next, which speaks the next version of the protocol and works with this one too.
	NextBuild Build = "next"
	// LaterBuild is holdfastd-later, which speaks the next version of the protocol and works with no older one.
	LaterBuild Build = "later"
)

// Use lets the member's daemon be of another build from its next start on.
func (m *Member) Use(b Build) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	name := "holdfastd"
	if b != ThisBuild {
		name += "-" + string(b)
	}
	path := filepath.Join(filepath.Dir(m.binary), name)
	if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() {
		return fmt.Errorf("member %s: no %s: make build makes it", m.name, path)
	}
	m.binary = path
	return nil
}

func (m *Member) setConfig(path string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.config = path
}
