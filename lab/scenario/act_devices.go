// SPDX-License-Identifier: Apache-2.0

package scenario

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/holdfast-project/holdfast/internal/control"
	"github.com/holdfast-project/holdfast/lab/report"
)

// deviceOrder registers, reports or unregisters a critical device, as any program on the member can.
type deviceOrder struct {
	member  string
	request control.DeviceRequest
}

func (a deviceOrder) run(ctx context.Context, r *runner) error {
	m, err := r.cluster.Member(a.member)
	if err != nil {
		return err
	}
	q := a.request
	text := strings.TrimSpace(fmt.Sprintf("device %s: %s %s %s", q.Name, q.Action, q.Status, q.Reason))
	if q.Action == "report" && q.Status == "problem" {
		r.harm(a.member, "%s", text)
	} else {
		r.add(report.Event{Kind: report.Step, Subject: a.member, Text: text})
	}
	_, err = m.Client().Device(ctx, q)
	return err
}

// manyDevices registers a number of devices at once, all well: device-1, device-2, ...
type manyDevices struct {
	member string
	count  int
}

func (a manyDevices) run(ctx context.Context, r *runner) error {
	m, err := r.cluster.Member(a.member)
	if err != nil {
		return err
	}
	r.add(report.Event{Kind: report.Step, Subject: a.member, Text: fmt.Sprintf("%d devices are registered", a.count)})
	var q control.DevicesRequest
	for i := range a.count {
		q.Requests = append(q.Requests, control.DeviceRequest{Action: "register", Name: fmt.Sprintf("device-%d", i+1), Status: "ok"})
	}
	_, err = m.Client().ManyDevices(ctx, q)
	return err
}

// freeze stops voluntary moves, or allows them again.
type freeze struct {
	member string
	frozen bool
	d      time.Duration
}

func (a freeze) run(ctx context.Context, r *runner) error {
	m, err := r.cluster.Member(a.member)
	if err != nil {
		return err
	}
	word := "unfreeze"
	if a.frozen {
		word = "freeze"
	}
	r.add(report.Event{Kind: report.Step, Subject: a.member, Text: word})
	_, err = m.Client().Freeze(ctx, control.FreezeRequest{Frozen: a.frozen, For: control.Duration(a.d)})
	return err
}
