// SPDX-License-Identifier: Apache-2.0

package scenario

import (
	"context"
	"fmt"
	"time"

	"github.com/holdfast-project/holdfast/lab/report"
)

// Of a beginning: how long a cluster may take to come to rest, and how long it rests before something is done to it. For a
// second after a move, and until a member's own timing has been good for a second, members are not yet as they are to be.
const (
	restWithin = 60 * time.Second
	restFor    = 1200 * time.Millisecond
)

type startFrom struct{ member string }

// run waits until one member serves and all others that are on stand by, moves the gateway if it is another's, and rests.
func (a startFrom) run(ctx context.Context, r *runner) error {
	deadline := time.Now().Add(restWithin)
	moved := false
	var quietSince time.Time
	for {
		now := time.Now()
		server, rest := r.atRest(ctx)
		switch {
		case !rest || len(r.since(now.Add(-lookEvery), "")) > 0:
			quietSince = time.Time{}
		case server != a.member && !moved:
			r.add(report.Event{Kind: report.Step, Subject: a.member, Text: "the gateway is moved here to begin with"})
			// A refusal is for good reasons and may be over soon: it is tried until the deadline.
			if err := r.cluster.Handover(ctx, a.member); err != nil && now.After(deadline) {
				return err
			} else if err == nil {
				moved = true
			}
		case server != a.member:
			moved = false // it went back, or has not gone yet
		case quietSince.IsZero():
			quietSince = now
		case now.Sub(quietSince) >= restFor && (len(r.probers) == 0 || r.answeredBy(a.member)):
			return r.mark(ctx)
		}
		if now.After(deadline) {
			return fmt.Errorf("the cluster is not at rest with %s serving: %s serves", a.member, server)
		}
		if err := sleep(ctx, 2*lookEvery); err != nil {
			return err
		}
	}
}

// atRest tells who serves, and whether exactly one does and all others that are on stand by; in load sharing, who leads, and whether all
// that are on serve by one table.
func (r *runner) atRest(ctx context.Context) (server string, rest bool) {
	v := view(r.cluster.States(ctx))
	rest = true
	for _, m := range r.cluster.Members() {
		if !m.Machine().Booted() {
			continue
		}
		own, ok := v.own(m.Name())
		if r.sc.Cluster.Method != "" { // all serve, and one of them leads
			if ok && own.Answer && server == "" {
				server = m.Name()
			}
			rest = rest && ok && (own.State == "ACTIVE" || own.State == "ACTIVE(P)")
			continue
		}
		switch {
		case ok && own.State == "ACTIVE" && server == "":
			server = m.Name()
		case !ok || own.State != "STANDBY":
			rest = false
		}
	}
	if rest = rest && server != ""; rest && r.sc.Cluster.Method != "" {
		ok, _, err := settled{}.check(ctx, r)
		rest = ok && err == nil
	}
	return server, rest
}

// resting holds while exactly one member serves and all others that are on stand by.
type resting struct{}

func (resting) check(ctx context.Context, r *runner) (bool, string, error) {
	server, rest := r.atRest(ctx)
	if !rest {
		return false, "not at rest", nil
	}
	return true, server + " serves", nil
}

func (r *runner) answeredBy(member string) bool {
	ok, _, err := servedBy{member}.check(context.Background(), r)
	return ok && err == nil
}
