// SPDX-License-Identifier: Apache-2.0

package scenario

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/holdfast-project/holdfast/internal/control"
)

// syncIs holds while a member says this of its synchronisation, with a reason that contains a text.
type syncIs struct{ member, status, reason string }

func (c syncIs) check(ctx context.Context, r *runner) (bool, string, error) {
	s, silent, err := asked(ctx, r, c.member, (*control.Client).Sync)
	if err != nil || silent != "" {
		return false, silent, err
	}
	status := strings.ToLower(strings.ReplaceAll(s.Status, " ", "-"))
	return status == c.status && strings.Contains(s.Reason, c.reason), strings.TrimSpace(s.Status + " " + s.Reason), nil
}

// verified holds while a member that compares its table with all others' finds this.
type verified struct {
	member string
	equal  bool
}

func (c verified) check(ctx context.Context, r *runner) (bool, string, error) {
	v, silent, err := asked(ctx, r, c.member, func(client *control.Client, ctx context.Context) (control.SyncVerify, error) {
		return client.VerifySync(ctx, control.SyncVerifyRequest{})
	})
	if err != nil || silent != "" {
		return false, silent, err
	}
	if len(v.Reports) == 0 {
		return false, "it compared with nobody", nil
	}
	var got []string
	for _, p := range v.Reports {
		text := fmt.Sprintf("%s: %d here, %d there, %d only here, %d only there, %d different", p.Peer, p.Local, p.Remote, p.OnlyLocal, p.OnlyRemote, p.Different)
		if p.Error != "" {
			text = p.Peer + ": " + p.Error
		}
		if len(p.Examples) > 0 {
			text += ", like " + p.Examples[0]
		}
		got = append(got, text)
	}
	return v.Equal == c.equal, strings.Join(got, "; "), nil
}

// memory compares the resident memory of a member's daemon in MiB, or by how much it has grown since the mark.
type memory struct {
	member string
	growth bool
	want   compare
}

func (c memory) check(_ context.Context, r *runner) (bool, string, error) {
	mib, err := r.resident(c.member)
	if err != nil {
		return false, "", err
	}
	if !c.growth {
		return c.want.holds(mib), fmt.Sprintf("%.0f MiB", mib), nil
	}
	before, known := r.memory[c.member]
	if !known {
		return false, "", fmt.Errorf("%s had no daemon at the mark", c.member)
	}
	return c.want.holds(mib - before), fmt.Sprintf("%+.0f MiB, to %.0f MiB", mib-before, mib), nil
}

// readMemory reads what every daemon has resident; those that do not run are left out.
func (r *runner) readMemory() map[string]float64 {
	out := map[string]float64{}
	for _, m := range r.cluster.Members() {
		if mib, err := r.resident(m.Name()); err == nil {
			out[m.Name()] = mib
		}
	}
	return out
}

// resident is what a member's daemon has in memory, in MiB.
func (r *runner) resident(member string) (float64, error) {
	m, err := r.cluster.Member(member)
	if err != nil {
		return 0, err
	}
	pid := m.PID()
	if pid == 0 {
		return 0, fmt.Errorf("%s has no daemon", member)
	}
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range bytes.Lines(raw) {
		words := strings.Fields(string(line))
		if len(words) < 2 || words[0] != "VmRSS:" {
			continue
		}
		kib, err := strconv.ParseFloat(words[1], 64)
		return kib / 1024, err
	}
	return 0, fmt.Errorf("%s: its daemon's status has no VmRSS", member)
}
