// SPDX-License-Identifier: Apache-2.0

package scenario

import (
	"context"
	"fmt"
	"strings"
)

// deviceIs holds while a member's critical device has a status, with a reason that contains a text.
type deviceIs struct{ name, member, status, reason string }

// gone is the status of a device that is not registered.
const gone = "gone"

func (c deviceIs) check(ctx context.Context, r *runner) (bool, string, error) {
	m, err := r.cluster.Member(c.member)
	if err != nil {
		return false, "", err
	}
	if !m.Answering() {
		return false, c.member + " does not answer", nil
	}
	all, err := m.Client().Devices(ctx)
	if err != nil {
		return false, err.Error(), nil // it may be starting
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
	m, err := r.cluster.Member(c.member)
	if err != nil {
		return false, "", err
	}
	if !m.Answering() {
		return false, c.member + " does not answer", nil
	}
	w, err := m.Client().Why(ctx)
	if err != nil {
		return false, err.Error(), nil // it may be starting
	}
	return strings.Contains(w.Why, c.text), fmt.Sprintf("%q", w.Why), nil
}

// interfaceIs holds while a member finds one of its interfaces to be so.
type interfaceIs struct{ name, member, status, reason string }

func (c interfaceIs) check(ctx context.Context, r *runner) (bool, string, error) {
	m, err := r.cluster.Member(c.member)
	if err != nil {
		return false, "", err
	}
	if !m.Answering() {
		return false, c.member + " does not answer", nil
	}
	all, err := m.Client().Interfaces(ctx)
	if err != nil {
		return false, err.Error(), nil // it may be starting
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
	m, err := r.cluster.Member(c.member)
	if err != nil {
		return false, "", err
	}
	if !m.Answering() {
		return false, c.member + " does not answer", nil
	}
	f, err := m.Client().Failovers(ctx)
	if err != nil {
		return false, err.Error(), nil // it may be starting
	}
	return c.want.holds(float64(len(f.History))), fmt.Sprint(len(f.History)), nil
}
