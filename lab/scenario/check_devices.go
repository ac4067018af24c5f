// SPDX-License-Identifier: Apache-2.0

package scenario

import (
	"context"
	"fmt"
	"strings"

	"github.com/holdfast-project/holdfast/internal/control"
)

// asked is what a member answers to one question. One that does not answer fulfils no condition, but it may be starting: that is no
// error.
func asked[T any](ctx context.Context, r *runner, member string, question func(*control.Client, context.Context) (T, error)) (v T, silent string, err error) {
	m, err := r.cluster.Member(member)
	if err != nil {
		return v, "", err
	}
	if !m.Answering() {
		return v, member + " does not answer", nil
	}
	v, failed := question(m.Client(), ctx)
	if failed != nil {
		silent = failed.Error()
	}
	return v, silent, nil
}

// deviceIs holds while a member's critical device has a status, with a reason that contains a text.
type deviceIs struct{ name, member, status, reason string }

// gone is the status of a device that is not registered.
const gone = "gone"

func (c deviceIs) check(ctx context.Context, r *runner) (bool, string, error) {
	all, silent, err := asked(ctx, r, c.member, (*control.Client).Devices)
	if err != nil || silent != "" {
		return false, silent, err
	}
	for _, d := range all.Devices {
		if d.Name == c.name {
			got := strings.TrimSpace(d.Status + " " + d.Reason)
			return d.Status == c.status && strings.Contains(d.Reason, c.reason), got, nil
		}
	}
	return c.status == gone, gone, nil
}

// why holds while the line in which a member explains its state contains a text.
type why struct{ member, text string }

func (c why) check(ctx context.Context, r *runner) (bool, string, error) {
	w, silent, err := asked(ctx, r, c.member, (*control.Client).Why)
	if err != nil || silent != "" {
		return false, silent, err
	}
	line := fmt.Sprintf("%s is %s: %s", w.Member, w.State, w.Why)
	return strings.Contains(line, c.text), fmt.Sprintf("%q", line), nil
}

// interfaceIs holds while a member finds one of its interfaces to be so.
type interfaceIs struct{ name, member, status, reason string }

func (c interfaceIs) check(ctx context.Context, r *runner) (bool, string, error) {
	all, silent, err := asked(ctx, r, c.member, (*control.Client).Interfaces)
	if err != nil || silent != "" {
		return false, silent, err
	}
	for _, i := range all.Interfaces {
		if i.Name == c.name {
			return i.Status == c.status && strings.Contains(i.Reason, c.reason), strings.TrimSpace(i.Status + " " + i.Reason), nil
		}
	}
	return false, "", fmt.Errorf("%s has no interface %q", c.member, c.name)
}

// history compares the number of failovers that a member remembers.
type history struct {
	member string
	want   compare
}

func (c history) check(ctx context.Context, r *runner) (bool, string, error) {
	f, silent, err := asked(ctx, r, c.member, (*control.Client).Failovers)
	if err != nil || silent != "" {
		return false, silent, err
	}
	return c.want.holds(float64(len(f.History))), fmt.Sprint(len(f.History)), nil
}
