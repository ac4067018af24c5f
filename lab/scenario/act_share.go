// SPDX-License-Identifier: Apache-2.0

package scenario

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/holdfast-project/holdfast/internal/control"
	"github.com/holdfast-project/holdfast/lab/conversation"
	"github.com/holdfast-project/holdfast/lab/paths"
	"github.com/holdfast-project/holdfast/lab/report"
)

// loadStep parses "weight M = N" and "reset".
func (p *parser) loadStep(w *words) action {
	if w.oneOf("order", "weight", "reset") == "reset" {
		return loadOrder{control.LoadWeightRequest{Reset: true}}
	}
	var q control.LoadWeightRequest
	q.Member = p.member(w)
	w.must("=")
	q.Weight = w.number("weight", 0, 100)
	return loadOrder{q}
}

// loadOrder changes weights as an operator does, at the first member that answers.
type loadOrder struct{ request control.LoadWeightRequest }

func (a loadOrder) run(ctx context.Context, r *runner) error {
	text := "the operator lets the weights of the configuration hold again"
	if !a.request.Reset {
		text = fmt.Sprintf("the operator gives it the weight %d", a.request.Weight)
	}
	r.add(report.Event{Kind: report.Step, Subject: a.request.Member, Text: text})
	for _, m := range r.cluster.Members() {
		if m.Answering() {
			_, err := m.Client().LoadWeight(ctx, a.request)
			return err
		}
	}
	return errors.New("no member answers")
}

// Of owners: how old the last packet of a conversation may be that tells whose it is, and how many may have none.
const (
	ownedWithin = 3 * time.Second
	unownedOK   = 0.05
)

// owners notes which member forwards each conversation that is one connection, as the wire shows it.
type owners struct{}

func (owners) run(_ context.Context, r *runner) error {
	if r.paths == nil {
		return errors.New("nobody looks: write paths into the traffic block")
	}
	talks, err := r.talking("")
	if err != nil {
		return err
	}
	r.owners = map[string]string{}
	count, unknown := map[string]int{}, 0
	for _, t := range talks {
		if t.Kind == conversation.Web || t.Finished {
			continue
		}
		// What comes back to the client is seen at its own segment, with the addresses that it knows.
		member, at := r.paths.Latest(paths.Flow{Protocol: protocol(t), From: t.To, To: t.From})
		if member == "" || time.Since(at) > ownedWithin {
			unknown++
			continue
		}
		r.owners[t.Name] = member
		count[member]++
	}
	var text []string
	for _, m := range r.cluster.Members() {
		text = append(text, fmt.Sprintf("%s %d", m.Name(), count[m.Name()]))
	}
	r.add(report.Event{Kind: report.Note, Text: fmt.Sprintf("conversations by owner: %s; of %d nobody knows", strings.Join(text, ", "), unknown)})
	if float64(unknown) > unownedOK*float64(len(talks)) {
		return fmt.Errorf("of %d of %d conversations nobody knows through which member they go", unknown, len(talks))
	}
	return nil
}

// protocol is what a conversation's packets carry (IANA).
func protocol(t conversation.Report) uint8 {
	const icmp, tcp, udp, gre, icmpv6 = 1, 6, 17, 47, 58
	switch t.Kind {
	case conversation.SSH, conversation.Download, conversation.FTP, conversation.Web:
		return tcp
	case conversation.Ping:
		if t.To.Addr().Is6() {
			return icmpv6
		}
		return icmp
	case conversation.Tunnel:
		return gre
	default:
		return udp
	}
}

// owned says of which conversations a condition is: of those of some members, or of all but those; the zero value is all.
type owned struct {
	members []string
	not     bool
}

// owned parses "of M[,M]" and "not-of M[,M]", if it is next.
func (p *parser) owned(w *words) (o owned) {
	if w.peek() != "of" && w.peek() != "not-of" {
		return o
	}
	o.not = w.next("of or not-of") == "not-of"
	names := split(strings.ReplaceAll(w.next("members"), ",", " "))
	for names.more() {
		o.members = append(o.members, p.member(names))
	}
	return o
}

// among leaves only those conversations; without an owner a conversation is of nobody.
func (o owned) among(r *runner, talks []conversation.Report) ([]conversation.Report, error) {
	if len(o.members) == 0 {
		return talks, nil
	}
	if r.owners == nil {
		return nil, errors.New("nobody knows whose conversations are: say owners first")
	}
	talks = slices.DeleteFunc(talks, func(t conversation.Report) bool {
		owner := r.owners[t.Name]
		return owner == "" || slices.Contains(o.members, owner) == o.not
	})
	if len(talks) == 0 {
		return nil, fmt.Errorf("there is no conversation of %v (not: %v)", o.members, o.not)
	}
	return talks, nil
}
