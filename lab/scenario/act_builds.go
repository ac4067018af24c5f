// SPDX-License-Identifier: Apache-2.0

package scenario

import (
	"cmp"
	"context"
	"fmt"

	"github.com/holdfast-project/holdfast/lab/members"
	"github.com/holdfast-project/holdfast/lab/report"
)

// version lets a member's daemon be of another build, from its next start or from now on.
type version struct {
	member string
	build  members.Build
	now    bool
}

func (a version) run(ctx context.Context, r *runner) error {
	m, err := r.cluster.Member(a.member)
	if err != nil {
		return err
	}
	name := cmp.Or(string(a.build), "this")
	if !a.now {
		r.add(report.Event{Kind: report.Step, Subject: a.member, Text: "its daemon is of build " + name + " from its next start on"})
		return m.Use(a.build)
	}
	r.harm(a.member, "restart of its daemon from build %s", name)
	ctx, cancel := context.WithTimeout(ctx, stepPatience)
	defer cancel()
	return r.cluster.Upgrade(ctx, a.member, a.build)
}

// configure gives a member a configuration of its own, from its next start or reload on; "" the one that all have.
type configure struct{ member, line string }

func (a configure) run(_ context.Context, r *runner) error {
	var lines []string
	if a.line != "" {
		lines = []string{a.line}
	}
	r.add(report.Event{Kind: report.Step, Subject: a.member, Text: "its file says " + cmp.Or(a.line, "what the others' says")})
	return r.cluster.Configure(a.member, lines)
}

type reload struct{ member string }

func (a reload) run(ctx context.Context, r *runner) error {
	m, err := r.cluster.Member(a.member)
	if err != nil {
		return err
	}
	r.add(report.Event{Kind: report.Step, Subject: a.member, Text: "reload"})
	res, err := m.Client().Reload(ctx)
	if err == nil && len(res.Refused) > 0 {
		err = fmt.Errorf("%s: %s", res.Refused[0].Path, res.Refused[0].Reason)
	}
	return err
}
