// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/holdfast-project/holdfast/internal/control"
	"github.com/holdfast-project/holdfast/members"
)

// Freeze implements control.Backend.
func (b *backend) Freeze(ctx context.Context, r control.FreezeRequest) (control.Result, error) {
	order := members.Admin{Kind: members.AdminUnfreeze}
	if r.Frozen {
		order = members.Admin{Kind: members.AdminFreeze, For: time.Duration(r.For)}
	}
	return ask(ctx, b.n, func(now int64) (control.Result, error) {
		n := b.n
		if before := n.freezes(now); !r.Frozen && len(before) == 0 {
			return control.Result{Done: "nothing was frozen"}, nil
		} else if !r.Frozen && before[0].By != n.local.Self.Name {
			return control.Result{}, control.Refused("the freeze was ordered at "+before[0].By, "end it there: holdfast unfreeze")
		}
		n.step(order)
		after := n.freezes(now)
		switch {
		case !r.Frozen && len(after) == 0:
			return control.Result{Done: "voluntary moves are allowed again"}, nil
		case !r.Frozen:
			return control.Result{Done: "the freeze ordered here has ended", Details: freezeTexts(after)}, nil
		}
		left := time.Duration(0)
		if len(after) > 0 {
			left = time.Duration(after[0].LeftMs * float64(time.Millisecond)).Round(time.Second)
		}
		return control.Result{Done: fmt.Sprintf("voluntary moves are frozen for %v at most, in the whole cluster", left),
			Details: []string{"a member that is silent, yields or has crashed is taken over from all the same"}}, nil
	})
}

// freezes lists who has frozen voluntary moves: this member first, then the others as their HELLOs say.
func (n *node) freezes(now int64) []control.Freeze {
	var all []control.Freeze
	add := func(by string, until int64) {
		if until > now {
			all = append(all, control.Freeze{By: by, Until: n.trace.at(until), LeftMs: ms(time.Duration(until - now))})
		}
	}
	add(n.local.Self.Name, now+int64(n.machine.Hello(now).Frozen)) // the view's is that of all members
	for _, m := range n.local.Peers {
		if t := n.wire.told[m.ID]; t != nil && t.FrozenMs != 0 {
			add(m.Name, n.wire.newest[m.ID].at+int64(t.FrozenMs)*int64(time.Millisecond))
		}
	}
	return all
}

func freezeTexts(all []control.Freeze) []string {
	texts := make([]string, len(all))
	for i, f := range all {
		left := time.Duration(f.LeftMs * float64(time.Millisecond)).Round(100 * time.Millisecond)
		texts[i] = fmt.Sprintf("voluntary moves are frozen for %v more, as ordered at %s", left, f.By)
	}
	return texts
}

// plainWhy is the machine's sentence without who it is about and in which state: the answer has these beside it.
func plainWhy(sentence, member string, state members.State) string {
	return strings.TrimPrefix(sentence, member+" is "+state.String()+": ")
}
