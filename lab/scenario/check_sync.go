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

// memory compares the resident memory of a member's daemon in MiB.
type memory struct {
	member string
	want   compare
}

func (c memory) check(_ context.Context, r *runner) (bool, string, error) {
	m, err := r.cluster.Member(c.member)
	if err != nil {
		return false, "", err
	}
	pid := m.PID()
	if pid == 0 {
		return false, c.member + " has no daemon", nil
	}
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return false, "", err
	}
	for line := range bytes.Lines(raw) {
		words := strings.Fields(string(line))
		if len(words) < 2 || words[0] != "VmRSS:" {
			continue
		}
		kib, err := strconv.ParseFloat(words[1], 64)
		return c.want.holds(kib / 1024), fmt.Sprintf("%.0f MiB", kib/1024), err
	}
	return false, "", fmt.Errorf("%s: its daemon's status has no VmRSS", c.member)
}
