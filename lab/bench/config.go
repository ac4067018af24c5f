// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/holdfast-project/holdfast/lab/machine"
	"github.com/holdfast-project/holdfast/lab/topology"
)

// System is a kind of cluster software to be measured.
type System struct {
	// Name is the system's name in rows.
	Name string
	// New prepares it on a topology; its files go into dir, which is empty and has a short path.
	New func(lab *topology.Lab, dir string) (machine.System, error)
	// Only limits it to these cases; nil means all.
	Only []string
	// Heard has somebody listen to the serving member's connections in case latency, who does nothing with what he hears.
	Heard bool
}

// Names of cases that differ from those of lab/trial: they need a topology of their own or last long.
const (
	CaseFailback     = "failback"
	CaseManyVIPs     = "power-off-1000-vips"
	CaseStress       = "stress"
	CaseStressThread = "stress-threaded-napi"
)

// manyVIPs is the number of IPv4 addresses on each segment in CaseManyVIPs.
const manyVIPs = 1000

// CaseNames lists all cases in the order of a round.
func CaseNames() []string {
	return []string{
		"power-off", CaseFailback, "sigkill", "sigstop", "cable-pull", "graceful", "restart", CaseManyVIPs, CaseStress, CaseStressThread,
	}
}

// Config says what to measure.
type Config struct {
	// Rounds is how often each case is tried with each system, at least 1; the stress is done once.
	Rounds int
	// Members is the size of the cluster; 0 means 3.
	Members int
	// Systems are what is compared; Cases the names of the cases, none means all.
	Systems []System
	Cases   []string
	// Stress is how long the processors are kept busy, once for all systems together.
	Stress time.Duration
	// Dir is where the systems' files go; it must exist and its path be short (sockets lie in it).
	Dir string
	// Log gets a line per trial; nil discards them.
	Log io.Writer
}

func (c Config) check() (Config, error) {
	if c.Members == 0 {
		c.Members = 3
	}
	if c.Log == nil {
		c.Log = io.Discard
	}
	if len(c.Cases) == 0 {
		c.Cases = CaseNames()
	}
	var errs []error
	if c.Rounds < 1 {
		errs = append(errs, fmt.Errorf("bench: %d rounds: at least 1", c.Rounds))
	}
	if len(c.Systems) == 0 {
		errs = append(errs, errors.New("bench: no system to measure"))
	}
	for _, name := range c.Cases {
		if !slices.Contains(CaseNames(), name) {
			errs = append(errs, fmt.Errorf("bench: case %q: there are %v", name, CaseNames()))
		}
	}
	if c.Stress <= 0 && (c.wants(CaseStress) || c.wants(CaseStressThread)) {
		errs = append(errs, fmt.Errorf("bench: stress of %v: must be longer than 0", c.Stress))
	}
	return c, errors.Join(errs...)
}

func (c Config) wants(name string) bool { return slices.Contains(c.Cases, name) }

// does tells whether a case is tried with a system.
func (c Config) does(s System, name string) bool {
	return c.wants(name) && (s.Only == nil || slices.Contains(s.Only, name))
}
