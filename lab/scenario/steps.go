// SPDX-License-Identifier: Apache-2.0

package scenario

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/holdfast-project/holdfast/ccp"
	"github.com/holdfast-project/holdfast/internal/control"
	"github.com/holdfast-project/holdfast/lab/fault"
	"github.com/holdfast-project/holdfast/lab/machine"
	"github.com/holdfast-project/holdfast/lab/members"
)

// defaultPatience is how long "wait until" waits, and what comes true is waited for, when the line does not say.
const defaultPatience = 10 * time.Second

func (p *parser) step(w *words) {
	s := Step{Line: p.line, Text: w.text}
	switch {
	case w.take("after"):
		s.When, s.Delay = After, w.duration("delay")
	case w.take("at"):
		s.When, s.Delay = At, w.duration("time")
	}
	s.Text = w.text
	verb := w.next("step")
	parse, ok := verbs[verb]
	if !ok {
		bad("no step %q: there are %s; holdfast-lab steps says what each does", verb, strings.Join(slices.Sorted(maps.Keys(verbs)), ", "))
	}
	s.do = parse(p, w)
	w.end()
	p.sc.Steps = append(p.sc.Steps, s)
}

// verbs are the grammar of each step; its action is in an act_ file.
var verbs = map[string]func(*parser, *words) action{
	"mark": func(_ *parser, w *words) action { return mark{w.all()} },
	"note": func(_ *parser, w *words) action { return note{w.all()} },
	"wait": func(p *parser, w *words) action {
		if !w.take("until") {
			return wait{w.duration("duration")}
		}
		return p.expectation(w, true)
	},
	"expect": func(p *parser, w *words) action { return p.expectation(w, false) },

	"start-from": func(p *parser, w *words) action { return startFrom{p.member(w)} },

	"power-off": func(p *parser, w *words) action { return power{p.member(w), false} },
	"power-on":  func(p *parser, w *words) action { return power{p.member(w), true} },
	"boot":      func(p *parser, w *words) action { return power{p.member(w), true} },
	"boot-all":  func(*parser, *words) action { return bootAll{} },
	"kill":      func(p *parser, w *words) action { return signal{"kill", p.member(w), part(w)} },
	"stop":      func(p *parser, w *words) action { return signal{"stop", p.member(w), part(w)} },
	"continue":  func(p *parser, w *words) action { return signal{"continue", p.member(w), part(w)} },
	"start":     func(p *parser, w *words) action { return daemon{p.member(w), false} },
	"restart":   func(p *parser, w *words) action { return daemon{p.member(w), true} },
	"failover": func(p *parser, w *words) action {
		w.must("to")
		f := failover{to: p.member(w)}
		if w.take("for") {
			f.hold = w.duration("duration")
		}
		return f
	},
	"admin": func(p *parser, w *words) action {
		a := admin{up: w.oneOf("direction", "up", "down") == "up"}
		a.member, a.permanent = p.member(w), w.take("permanent")
		return a
	},

	"unplug": func(p *parser, w *words) action { return cable{p.node(w), p.segment(w), end(w), false} },
	"plug":   func(p *parser, w *words) action { return cable{p.node(w), p.segment(w), end(w), true} },
	"switch-down": func(p *parser, w *words) action {
		return switchPower{p.segment(w), stagger(w), false}
	},
	"switch-up": func(p *parser, w *words) action { return switchPower{p.segment(w), stagger(w), true} },
	"cut": func(p *parser, w *words) action {
		c := drop{node: p.node(w), segment: p.segment(w), direction: direction(w), probability: 1}
		if w.take("ethertype") {
			c.etherType = uint16(w.hex("EtherType", 0xffff))
		}
		c.frames = frameType(w)
		return c
	},
	"uncut": func(p *parser, w *words) action {
		return drop{node: p.node(w), segment: p.segment(w), direction: fault.Both}
	},
	"lose": func(p *parser, w *words) action {
		d := drop{node: p.node(w), segment: p.segment(w), direction: direction(w), probability: w.percent("loss")}
		d.frames = frameType(w)
		return d
	},
	"duplicate": func(p *parser, w *words) action {
		return duplicate{p.node(w), p.segment(w), direction(w), w.percent("duplication")}
	},
	"split": func(p *parser, w *words) action { return p.split(w) },
	"join":  func(p *parser, w *words) action { return join{p.segment(w)} },

	"flood": func(p *parser, w *words) action {
		return flood{p.oneSegment(w), w.oneOf("kind", "garbage", "replay"), w.number("frames a second", 1, 1_000_000)}
	},
	"flood-stop": func(p *parser, w *words) action { return floodStop{p.oneSegment(w)} },
	"churn":      func(p *parser, w *words) action { return p.churnStep(w) },
	"churn-stop": func(*parser, *words) action { return churnStop{} },
	"load":       func(p *parser, w *words) action { return p.loadStep(w) },
	"too-big":    func(p *parser, w *words) action { return p.tooBig(w) },
	"owners":     func(*parser, *words) action { return owners{} },

	"converse": func(_ *parser, w *words) action {
		c := converse{within: conversePatience}
		if w.take("within") {
			c.within = w.duration("time")
		}
		return c
	},
	"no-new-connections": func(*parser, *words) action { return closeNew{} },

	"cpu":         func(p *parser, w *words) action { return cpuUse{p.member(w), w.percent("part")} },
	"stress":      func(_ *parser, w *words) action { return stress{strings.Fields(w.all())} },
	"stress-stop": func(*parser, *words) action { return stressStop{} },
	"pause":       func(p *parser, w *words) action { return pause{p.member(w), false} },
	"resume":      func(p *parser, w *words) action { return pause{p.member(w), true} },
	"clock-step":  func(_ *parser, w *words) action { return clockStep{w.duration("step")} },
	"exec": func(p *parser, w *words) action {
		node := p.node(w)
		return execute{node, w.fields()}
	},

	"device": func(p *parser, w *words) action { return p.deviceStep(w) },
	"devices": func(p *parser, w *words) action {
		d := manyDevices{member: p.member(w)}
		w.must("register")
		d.count = w.number("number of devices", 1, 500)
		return d
	},
	"freeze": func(p *parser, w *words) action {
		f := freeze{member: p.member(w), frozen: true}
		if w.take("for") {
			f.d = w.duration("duration")
		}
		return f
	},
	"unfreeze": func(p *parser, w *words) action { return freeze{member: p.member(w)} },

	"version": func(p *parser, w *words) action { return version{p.member(w), build(w), false} },
	"upgrade": func(p *parser, w *words) action {
		u := version{p.member(w), members.NextBuild, true}
		if w.take("to") {
			u.build = build(w)
		}
		return u
	},
	"configure": func(p *parser, w *words) action {
		c := configure{member: p.member(w)}
		if !w.take("as-others") {
			c.line = w.all()
			if !strings.Contains(c.line, ":") {
				bad("configure: write a line of YAML, like recovery: highest-priority, or as-others")
			}
		}
		return c
	},
	"reload": func(p *parser, w *words) action { return reload{p.member(w)} },

	"serve": func(p *parser, w *words) action {
		s := serve{kind: w.oneOf("protocol", "tcp", "http"), port: w.number("port", 1, 65535)}
		w.must("on")
		s.node = p.node(w)
		if w.take("status") {
			s.status = w.number("HTTP status", 200, 599)
		}
		return s
	},
	"serve-stop": func(p *parser, w *words) action {
		s := serveStop{port: w.number("port", 1, 65535)}
		w.must("on")
		s.node = p.node(w)
		return s
	},
	"management": func(p *parser, w *words) action { return p.managementStep(w) },
	"policy":     func(p *parser, w *words) action { return p.policyStep(w) },
	"run": func(p *parser, w *words) action {
		node := p.node(w)
		return background{node, w.fields()}
	},
	"end": func(p *parser, w *words) action { return endBackground{p.node(w)} },
}

// deviceStep parses "M register NAME [timeout D] [state S] [persist]", "M report NAME STATUS [REASON]" and "M unregister NAME".
func (p *parser) deviceStep(w *words) action {
	d := deviceOrder{member: p.member(w)}
	q := &d.request
	q.Action = w.oneOf("action", "register", "report", "unregister")
	q.Name = w.next("name of a device")
	switch q.Action {
	case "register":
		q.Status = "init"
		for w.more() {
			switch word := w.oneOf("word", "timeout", "state", "persist"); word {
			case "timeout":
				q.Timeout = control.Duration(w.duration("timeout"))
			case "state":
				q.Status = w.oneOf("state", "ok", "init", "problem")
			case "persist":
				q.Persistent = true
			}
		}
	case "report":
		q.Status, q.Reason = w.oneOf("status", "ok", "init", "problem"), w.all()
	}
	return d
}

func build(w *words) members.Build {
	if b := w.oneOf("build", "this", string(members.NextBuild), string(members.LaterBuild)); b != "this" {
		return members.Build(b)
	}
	return members.ThisBuild
}

func part(w *words) machine.Part {
	if !w.more() {
		return machine.AllParts
	}
	return machine.Part(w.oneOf("part", "main", "pulse", "all"))
}

func end(w *words) fault.End {
	if !w.more() {
		return fault.AtSwitch
	}
	return fault.End(w.oneOf("end of the cable", "node", "switch"))
}

// frameType takes "ccp TYPE", if it is next: frames of that type only.
func frameType(w *words) ccp.Type {
	if !w.take("ccp") {
		return 0
	}
	var names []string
	for _, t := range []ccp.Type{ccp.TypeProbe, ccp.TypeReply, ccp.TypeYield, ccp.TypeYieldReply, ccp.TypeHello, ccp.TypeSync, ccp.TypeSlots, ccp.TypePolicy} {
		if t.String() == w.peek() {
			w.next("type")
			return t
		}
		names = append(names, t.String())
	}
	bad("%q: one of %s", w.next("type of frame"), strings.Join(names, ", "))
	return 0
}

func direction(w *words) fault.Direction {
	return fault.Direction(w.oneOf("direction", "from", "to", "both"))
}

func stagger(w *words) time.Duration {
	if !w.take("stagger") {
		return 0
	}
	return w.duration("stagger")
}

// oneSegment takes a segment's name where "all" has no meaning.
func (p *parser) oneSegment(w *words) string {
	if w.peek() == "all" {
		bad("name one segment")
	}
	return p.segment(w)
}

// split parses "SEG|all A,B | C,D".
func (p *parser) split(w *words) action {
	s := splitUp{segment: p.segment(w)}
	for _, side := range strings.Split(w.all(), "|") {
		var group []string
		names := split(strings.ReplaceAll(side, ",", " "))
		for names.more() {
			group = append(group, p.node(names))
		}
		if len(group) == 0 {
			bad("split: an empty group: write fw1,client1 | fw2")
		}
		s.groups = append(s.groups, group)
	}
	if len(s.groups) < 2 {
		bad("split: one group: write fw1,client1 | fw2")
	}
	return s
}
