// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/holdfast-project/holdfast/lab/management"
	"github.com/holdfast-project/holdfast/management/api"
)

// followed is an install as the command that orders it tells of it.
type followed struct {
	began   time.Time
	inForce time.Time   // when it first said that all members have it in force
	checked api.Checked // as first said: what there was of it before members prepared
	attempt api.Install // its times are by management's clock, which is this one
}

// line takes one line of the command's output.
func (f *followed) line(at time.Time, text []byte) error {
	var l api.InstallLine
	if err := json.Unmarshal(text, &l); err != nil {
		return fmt.Errorf("holdfast-mgmt policy install printed %.200q: %w", text, err)
	}
	switch {
	case l.Error != nil:
		return l.Error
	case l.Checked != nil:
		if f.attempt.Number == 0 {
			f.checked = *l.Checked
		}
	case l.Install != nil:
		f.attempt = *l.Install
		if f.inForce.IsZero() && everywhere(f.attempt) {
			f.inForce = at
		}
	}
	return nil
}

// everywhere reports whether all members of an install have the policy in force.
func everywhere(i api.Install) bool {
	return len(i.Members) > 0 && !slices.ContainsFunc(i.Members, func(m api.InstallMember) bool { return m.State != "committed" && m.State != "confirmed" })
}

// measure installs the ruleset and returns when the members rest.
func (sd *installs) measure(ctx context.Context, text string) (Measure, error) {
	if _, err := sd.settled(ctx); err != nil {
		return Measure{}, err
	}
	file := filepath.Join(sd.dir, "policy.nft")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return Measure{}, err
	}
	f := followed{began: time.Now()}
	err := sd.site.Follow(ctx, f.line, "-o", "json", "policy", "install", file, "--cluster", management.Cluster)
	ended := time.Now()
	switch {
	case err != nil:
		return Measure{}, err
	case f.attempt.Phase != "confirmed" || f.inForce.IsZero() || f.attempt.Decided == nil:
		return Measure{}, fmt.Errorf("install %d ended as %s: %s", f.attempt.Number, f.attempt.Phase, f.attempt.Why)
	case f.checked.Skipped != "":
		return Measure{}, errors.New("the ruleset was not checked: " + f.checked.Skipped)
	}
	rest, err := sd.settled(ctx)
	check := time.Duration(f.checked.TookMs) * time.Millisecond
	prepare := f.attempt.Decided.Sub(f.attempt.Begun)
	commit := f.inForce.Sub(*f.attempt.Decided)
	whole := f.inForce.Sub(f.began)
	return Measure{Values: map[string]float64{
		"seconds": whole.Seconds(), "check_seconds": check.Seconds(), "prepare_seconds": prepare.Seconds(), "commit_seconds": commit.Seconds(),
		"other_seconds": (whole - check - prepare - commit).Seconds(), "confirm_seconds": ended.Sub(f.inForce).Seconds(),
		"settle_seconds": rest.Sub(f.inForce).Seconds(),
	}}, err
}

// reporting waits until every member reports to management.
func (sd *installs) reporting(ctx context.Context) error {
	for {
		out, err := sd.site.Run(ctx, "-o", "json", "policy", "status", "--cluster", management.Cluster)
		if err != nil {
			return err
		}
		var all struct {
			Members []api.Member `json:"members"`
		}
		if err := json.Unmarshal([]byte(out), &all); err != nil {
			return fmt.Errorf("holdfast-mgmt policy status printed %.200q: %w", out, err)
		}
		there := 0
		for _, m := range all.Members {
			if m.Here {
				there++
			}
		}
		if there == len(sd.cluster.Members()) {
			return nil
		}
		if err := wait(ctx, countEvery); err != nil {
			return fmt.Errorf("%d of %d members report to management: %w", there, len(sd.cluster.Members()), err)
		}
	}
}
