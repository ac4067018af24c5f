// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/holdfast-project/holdfast/lab/management"
	"github.com/holdfast-project/holdfast/lab/members"
	"github.com/holdfast-project/holdfast/lab/topology"
)

// managementSegment is the network that members have their management on.
const managementSegment = "mgmt"

// installs is a cluster with its management, each of its members enrolled.
type installs struct {
	*stand
	dir     string
	cluster *members.Cluster
	site    *management.Site
}

// openInstalls builds it and waits until every member reports to management. On error nothing is left.
func openInstalls(ctx context.Context, cfg PolicyConfig) (_ *installs, err error) {
	sd := &installs{stand: &stand{}}
	defer func() {
		if err != nil {
			err = errors.Join(err, sd.close())
		}
	}()
	ctx, cancel := context.WithTimeout(ctx, bootWithin)
	defer cancel()
	spec := topology.DefaultSpec("policy", cfg.Members)
	spec.Segments = append(spec.Segments, topology.Segment{Name: managementSegment, Role: topology.RolePrivate, Hosts: topology.Managers})
	lab, err := topology.Build(spec)
	if err != nil {
		return nil, err
	}
	sd.later("close topology", lab.Close)
	if sd.dir, err = os.MkdirTemp(cfg.Dir, "p"); err != nil {
		return nil, err
	}
	sd.later("remove files", func() error { return os.RemoveAll(sd.dir) })
	binary, err := members.FindBinary(cfg.Binary)
	if err != nil {
		return nil, err
	}
	sd.cluster, err = members.New(lab, members.Options{
		Binary: binary, Dir: sd.dir,
		Policy: []string{
			"keys: " + management.PublicKey(sd.dir, lab),
			"management: [" + strings.Join(management.URLs(lab), ", ") + "]",
		},
		BeforeStart: func(m *members.Member) error { return sd.enrol(ctx, m) },
	})
	if err != nil {
		return nil, err
	}
	sd.later("close cluster", sd.cluster.Close)
	sd.site, err = management.Open(ctx, lab, management.Options{Binaries: filepath.Dir(binary), Dir: sd.dir})
	sd.later("close management", sd.site.Close)
	if err != nil {
		return nil, err
	}
	if err := sd.cluster.Boot(ctx); err != nil {
		return nil, fmt.Errorf("boot: %w", err)
	}
	return sd, sd.reporting(ctx)
}

// enrol lets a member ask for its certificate before it first starts.
func (sd *installs) enrol(ctx context.Context, m *members.Member) error {
	token, err := sd.site.Token(ctx, m.Name())
	if err != nil {
		return err
	}
	return sd.site.Enrol(ctx, m.Machine(), m.Config(), m.Name(), token)
}

// usedBy is the processor time that everything on the members has used since their boot.
func (sd *installs) usedBy() (sum time.Duration, err error) {
	for _, m := range sd.cluster.Members() {
		used, err := m.Machine().CPU()
		if err != nil {
			return 0, err
		}
		sum += used
	}
	return sum, nil
}

// Of waiting until members rest.
const (
	restEvery  = 250 * time.Millisecond
	restWithin = 30 * time.Second
	// restBelow is the processor time of all members in restEvery that counts as rest.
	restBelow = restEvery / 5
)

// settled waits until the members rest: after a commit they read what the kernel has of it. It returns when they began to.
func (sd *installs) settled(ctx context.Context) (time.Time, error) {
	last, err := sd.usedBy()
	if err != nil {
		return time.Time{}, err
	}
	for end := time.Now().Add(restWithin); time.Now().Before(end); {
		since := time.Now()
		if err := wait(ctx, restEvery); err != nil {
			return since, err
		}
		now, err := sd.usedBy()
		if err != nil {
			return since, err
		}
		if now-last < restBelow {
			return since, nil
		}
		last = now
	}
	return time.Time{}, fmt.Errorf("the members are still busy after %v", restWithin)
}
