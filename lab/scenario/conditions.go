// SPDX-License-Identifier: Apache-2.0

package scenario

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/holdfast-project/holdfast/lab/topology"
)

// condition is something that holds or not.
type condition interface {
	// check looks once and says what it found. It does not look again by itself: the runner does, for as long as a statement
	// allows. An error ends the scenario.
	check(ctx context.Context, r *runner) (ok bool, got string, err error)
}

// expectation is "expect CONDITION" or "wait until CONDITION".
type expectation struct {
	text   string
	cond   condition
	within time.Duration
	must   bool // wait until
	// awaited says that the condition gets defaultPatience to come true though its line does not say so.
	awaited bool
	// never says that the condition is about what no member may ever do, whatever its host does to it.
	never bool
}

func (p *parser) expectation(w *words, must bool) action {
	e := expectation{must: must, text: w.text}
	if must {
		e.within = defaultPatience
	}
	kind := w.next("condition")
	negative := kind == "no" && w.peek() == "event"
	if negative {
		kind = w.next("event")
	}
	parse, ok := conditions[kind]
	if !ok {
		bad("no condition %q: there are %s; holdfast-lab steps says what each is", kind, strings.Join(slices.Sorted(maps.Keys(conditions)), ", "))
	}
	e.cond = parse(p, w)
	if ev, is := e.cond.(event); is {
		ev.negative = negative
		e.cond = ev
	}
	if w.take("within") {
		if negative {
			bad("no event: within would hold at once: write a wait before it")
		}
		e.within = w.duration("time")
	}
	e.never = slices.Contains(neverTrue, kind)
	e.awaited = !must && e.within == 0 && comesTrue(kind, e.cond)
	return e
}

// comesTrue says whether a condition is about what the members come to, and not about what must never have been. The first kind may take its time on
// a busy host: no verdict hangs on when it is looked at. The second is judged as it stands, since waiting could only hide what was wrong.
func comesTrue(kind string, c condition) bool {
	switch c := c.(type) {
	case event:
		return !c.negative
	case transitions:
		return c.want.grows()
	case moves:
		return c.want.grows()
	case counter:
		return c.want.grows()
	case churned:
		return c.want.grows()
	case ways:
		return c.want.grows()
	case talksAre:
		// What the server takes for lost, and was only late, it takes back with its next echo.
		return c.what == "going" || c.what == "finished" || c.what == "resent"
	case udp:
		return kind == "duplicated" && c.want.grows()
	}
	return slices.Contains(comeTrue, kind)
}

// comeTrue are the conditions that come true whatever they compare with.
var comeTrue = []string{"active", "attention", "at-rest", "states", "device", "why", "interface", "history", "policy", "tables", "entries", "sync",
	"verified", "slots", "leader", "untranslated", "served-by", "ftp-holding"}

// neverTrue are the conditions of the safety argument: no luck excuses what they find.
var neverTrue = []string{"answers-by-two", "dual", "forwarded-by-two", "gateway-resets"}

// conditions are the grammar of each condition.
var conditions = map[string]func(*parser, *words) condition{
	"at-rest": func(*parser, *words) condition { return resting{} },
	"active":  func(p *parser, w *words) condition { return active{p.member(w)} },
	"attention": func(p *parser, w *words) condition {
		if !strings.HasPrefix(w.peek(), topology.MemberName(0)[:2]) {
			return attention{}
		}
		return attention{p.member(w)}
	},
	"states": func(p *parser, w *words) condition {
		var s states
		for w.more() && w.peek() != "within" {
			name, state, ok := strings.Cut(w.next("M=STATE"), "=")
			if !ok || state == "" {
				bad("states: write M=STATE, like fw1=ACTIVE")
			}
			p.refs = append(p.refs, reference{p.line, "member", name})
			s = append(s, memberState{name, state})
		}
		if len(s) == 0 {
			bad("states: write M=STATE, like fw1=ACTIVE")
		}
		return s
	},
	"no-state-change": func(_ *parser, w *words) condition {
		w.must("for")
		return quiet{w.duration("duration")}
	},
	"transitions": func(p *parser, w *words) condition {
		t := transitions{}
		if strings.HasPrefix(w.peek(), topology.MemberName(0)[:2]) {
			t.member = p.member(w)
		}
		t.want = w.compare(false)
		return t
	},
	"moves": func(_ *parser, w *words) condition { return moves{w.compare(false)} },
	"event": func(p *parser, w *words) condition {
		e := event{code: w.next("code")}
		w.must("on")
		e.member = p.member(w)
		e.reason = w.phrase()
		return e
	},
	"counter": func(p *parser, w *words) condition {
		group, name, ok := strings.Cut(w.next("GROUP.NAME"), ".")
		if !ok {
			bad("counter: write GROUP.NAME, like gate.closed_vip")
		}
		w.must("on")
		c := counter{group: group, name: name}
		if !w.take("all") {
			c.member = p.member(w)
		}
		c.want = w.compare(false)
		return c
	},
	"device": func(p *parser, w *words) condition {
		d := deviceIs{name: w.next("name of a device")}
		w.must("on")
		d.member = p.member(w)
		w.must("==")
		d.status, d.reason = w.oneOf("status", "ok", "init", "problem", "gone"), w.phrase()
		return d
	},
	"why": func(p *parser, w *words) condition {
		y := why{member: p.member(w)}
		w.must("~")
		if y.text = w.phrase(); y.text == "" {
			bad("why: the text is missing")
		}
		return y
	},
	"interface": func(p *parser, w *words) condition {
		i := interfaceIs{name: p.oneSegment(w)}
		w.must("on")
		i.member = p.member(w)
		w.must("==")
		i.status, i.reason = w.oneOf("status", "UP", "DOWN", "undecided", "non-monitored"), w.phrase()
		return i
	},
	"history": func(p *parser, w *words) condition { return history{p.member(w), w.compare(false)} },
	"policy":  func(p *parser, w *words) condition { return p.policyCondition(w) },

	"conversations": func(p *parser, w *words) condition { return p.talksCondition(w) },
	"ftp-holding":   func(*parser, *words) condition { return holding{} },
	"gateway-resets": func(_ *parser, w *words) condition {
		return gatewayResets{w.compare(false)}
	},
	"tables": func(_ *parser, w *words) condition {
		w.must("equal")
		return tablesEqual{}
	},
	"entries": func(p *parser, w *words) condition {
		w.must("on")
		return entries{p.member(w), w.compare(false)}
	},
	"sync": func(p *parser, w *words) condition {
		s := syncIs{member: p.member(w)}
		w.must("==")
		s.status, s.reason = w.oneOf("status", "ok", "at-risk", "off"), w.phrase()
		return s
	},
	"verified": func(p *parser, w *words) condition {
		v := verified{member: p.member(w)}
		w.must("==")
		v.equal = w.oneOf("result", "equal", "different") == "equal"
		return v
	},
	"memory": func(p *parser, w *words) condition { return memory{p.member(w), w.take("growth"), w.compare(false)} },
	"churn": func(_ *parser, w *words) condition {
		return churned{w.oneOf("word", churnWords...), w.compare(false)}
	},

	"slots": func(p *parser, w *words) condition {
		if w.take("settled") {
			return settled{}
		}
		return slots{p.member(w), w.compare(false)}
	},
	"shares": func(_ *parser, w *words) condition {
		w.must("within")
		return shares{w.percent("deviation")}
	},
	"too-big": func(_ *parser, w *words) condition {
		return tooBigSaid{w.oneOf("word", "reached", "told", "untold", "wrong"), w.compare(false)}
	},
	"paths":  func(_ *parser, w *words) condition { return ways{w.oneOf("word", wayWords...), w.compare(false)} },
	"leader": func(p *parser, w *words) condition { return leads{p.member(w)} },
	"untranslated": func(_ *parser, w *words) condition {
		w.must("==")
		return untranslated{w.oneOf("families", "none", "IPv4", "IPv6", "both")}
	},

	"lost":             func(_ *parser, w *words) condition { return udp{"lost", w.compare(false)} },
	"duplicated":       func(_ *parser, w *words) condition { return udp{"duplicated", w.compare(false)} },
	"gap":              func(_ *parser, w *words) condition { return udp{"gap", w.compare(true)} },
	"tcp-gap":          func(_ *parser, w *words) condition { return tcp{w.compare(true)} },
	"tcp-resets":       func(_ *parser, w *words) condition { return tcpResets{w.compare(false)} },
	"answers-by-two":   func(_ *parser, w *words) condition { return answers{"answers-by-two", w.compare(false)} },
	"dual":             func(_ *parser, w *words) condition { return answers{"dual", w.compare(true)} },
	"forwarded-by-two": func(_ *parser, w *words) condition { return forwarded{w.compare(false)} },
	"served-by":        func(p *parser, w *words) condition { return servedBy{p.member(w)} },
}
