// SPDX-License-Identifier: Apache-2.0

package scenario

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/holdfast-project/holdfast/lab/members"
	"github.com/holdfast-project/holdfast/lab/ruleset"
	"github.com/holdfast-project/holdfast/lab/topology"
)

// Load reads a scenario from a file.
func Load(path string) (*Scenario, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return Parse(f, path)
}

// Parse reads a scenario; file is its name in errors, and its title unless the text has one. All mistakes are reported.
func Parse(r io.Reader, file string) (*Scenario, error) {
	p := &parser{sc: &Scenario{
		File: file, Name: strings.TrimSuffix(filepath.Base(file), ".txt"), Spec: topology.DefaultSpec("", 2),
	}}
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		p.line++
		if p.paragraph(lines.Text()) {
			continue
		}
		text, _, _ := strings.Cut(lines.Text(), "#")
		if text = strings.TrimSpace(text); text != "" {
			p.statement(text)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	p.finish()
	return p.sc, errors.Join(p.errs...)
}

type parser struct {
	sc       *Scenario
	line     int
	block    string
	segments bool    // the file names its own
	open     *string // what the open paragraph's lines are added to
	yaml     int     // how far that paragraph's first word is indented, plus 1; 0: none is open
	below    int     // how far that paragraph's first line is
	errs     []error
	refs     []reference
}

// reference is a name that must exist once the whole file is read.
type reference struct {
	line       int
	kind, name string
}

// paragraph takes a line of YAML or of rules, which go on while lines are indented further than the word that began them. It is
// taken as it is but for the indentation of its first line: here a # and a colon are not ours.
func (p *parser) paragraph(line string) bool {
	indent := len(line) - len(strings.TrimLeft(line, " "))
	if p.yaml > 0 && strings.TrimSpace(line) == "" {
		return true
	}
	if indent < p.yaml {
		p.yaml = 0
	}
	if p.yaml == 0 {
		into := map[string]*string{"yaml": &p.sc.Cluster.YAML, "ruleset": &p.sc.Cluster.Ruleset}[strings.TrimSpace(line)]
		if words := strings.Fields(line); len(words) == 2 && words[0] == "policy" {
			into = p.policy(words[1])
		}
		if p.block == "cluster" && into != nil {
			p.yaml, p.below, p.open = indent+1, 0, into
			return true
		}
		return false
	}
	if p.below == 0 {
		p.below = indent
	}
	*p.open += strings.TrimRight(line[min(indent, p.below):], " ") + "\n"
	return true
}

// policy is where the text of a policy goes, nil outside the block for it.
func (p *parser) policy(name string) *string {
	if p.block != "cluster" {
		return nil
	}
	all := &p.sc.Cluster.Policies
	*all = append(*all, Policy{Name: name})
	return &(*all)[len(*all)-1].Text // good until the next one begins: then this one is whole
}

var blocks = []string{"topology", "cluster", "traffic", "steps"}

// statement parses one line; a mistake in it is recorded and the next line is read.
func (p *parser) statement(text string) {
	defer func() {
		switch m := recover().(type) {
		case nil:
		case mistake:
			p.errs = append(p.errs, &Error{p.sc.File, p.line, string(m)})
		default:
			panic(m)
		}
	}()
	w := split(text)
	if len(w.rest) == 1 && slices.Contains(blocks, text) {
		p.block = text
		return
	}
	switch p.block {
	case "":
		p.title(w)
	case "topology":
		p.topology(w)
	case "cluster":
		p.cluster(w)
	case "traffic":
		p.traffic(w)
	default:
		p.step(w)
	}
}

func (p *parser) title(w *words) {
	switch word := w.next("statement"); word {
	case "scenario":
		p.sc.Name = w.next("name")
		w.end()
	case "about":
		p.sc.About = strings.TrimSpace(p.sc.About + " " + w.all())
	default:
		bad("%q: a file starts with scenario, about, or a block: %s", word, strings.Join(blocks, ", "))
	}
}

func (p *parser) topology(w *words) {
	s := &p.sc.Spec
	switch word := w.next("statement"); word {
	case "members":
		s.Members = w.number("number of members", 2, 8)
	case "clients":
		s.Clients = w.number("number of clients", 0, 200)
	case "servers":
		s.Servers = w.number("number of servers", 0, 200)
	case "published":
		s.Published = w.number("number of published servers", 1, 200)
	case "managers":
		s.Managers = w.number("number of management servers", 1, 200)
	case "vips":
		s.VIPs = w.number("number of VIPs", 1, 8000)
	case "route-vip":
		s.RouteVIP = w.number("number of a VIP", -8000, 7999)
	case "segment":
		g := topology.Segment{Name: w.next("name"), Role: topology.Role(w.oneOf("role", "cluster", "sync", "cluster+sync", "private"))}
		if w.more() {
			g.Hosts = topology.Hosts(w.oneOf("hosts", "clients", "servers", "published", "managers"))
		}
		if !p.segments {
			p.segments, s.Segments = true, nil
		}
		s.Segments = append(s.Segments, g)
	case "slaac":
		s.SLAAC = true
	case "threaded-napi":
		s.ThreadedNAPI = true
	case "snooping":
		s.Snooping = true
	default:
		bad("topology has no %q: members, clients, servers, published, managers, vips, route-vip, segment, slaac, threaded-napi, snooping", word)
	}
	w.end()
}

func (p *parser) cluster(w *words) {
	c := &p.sc.Cluster
	switch word := w.next("statement"); word {
	case "profile":
		c.Profile = w.oneOf("profile", "appliance", "fast", "virtual")
	case "recovery":
		c.Recovery = w.oneOf("recovery", "maintain-current", "highest-priority")
	case "mode":
		c.Method = w.oneOf("method of load sharing", "multicast", "unicast")
	case "sharing":
		if c.Sharing = append(c.Sharing, w.all()); !strings.Contains(c.Sharing[len(c.Sharing)-1], ":") {
			bad("sharing: write a line of YAML, like weights: {fw1: 30, fw2: 70}")
		}
	case "transport":
		c.Transport = w.oneOf("transport", "unicast", "multicast", "broadcast")
	case "attach":
		c.Attach = w.oneOf("attach", "auto", "xdp", "tcx")
	case "timer":
		name := w.next("timer")
		if c.Timers == nil {
			c.Timers = map[string]string{}
		}
		c.Timers[name] = w.duration("duration").String()
	case "vmac":
		c.NoVMAC = w.oneOf("vmac", "true", "false") == "false"
	case "neighbours":
		w.must("none")
		c.NoNeighbours = true
	case "interface":
		segment := p.oneSegment(w)
		if c.Interfaces == nil {
			c.Interfaces = map[string][]string{}
		}
		if !w.more() {
			bad("interface %s: write a line of its YAML, like monitored: false", segment)
		}
		c.Interfaces[segment] = append(c.Interfaces[segment], w.all())
	case "version":
		if c.Builds == nil {
			c.Builds = map[string]members.Build{}
		}
		name := p.member(w)
		c.Builds[name] = build(w)
	case "ruleset":
		if w.oneOf("ruleset", "stateful", "sharing") == "stateful" {
			c.Ruleset += ruleset.Stateful
		} else {
			c.Ruleset += ruleset.Sharing
		}
	case "sysctl":
		name := w.next("name below net, like netfilter/nf_conntrack_udp_timeout")
		if c.Sysctls == nil {
			c.Sysctls = map[string]string{}
		}
		c.Sysctls[name] = w.next("value")
	case "management":
		c.Management = "file"
		if w.more() {
			c.Management = w.oneOf("store", "file", "etcd")
		}
	case "policy":
		n := Policy{Name: w.next("name")}
		if n.Text = w.all(); n.Text == "" {
			bad("policy: write what it allows, like udp dport 9100 accept, or its text below")
		}
		n.Text = ruleset.Policy(n.Text)
		c.Policies = append(c.Policies, n)
	case "policies":
		if c.PolicyYAML = append(c.PolicyYAML, w.all()); !strings.Contains(c.PolicyYAML[len(c.PolicyYAML)-1], ":") {
			bad("policies: write a line of YAML, like enforce: true")
		}
	case "boot":
		w.must("later")
		for w.more() {
			c.Later = append(c.Later, p.member(w))
		}
	default:
		bad("cluster has no %q: mode, sharing, profile, recovery, transport, attach, timer, vmac, neighbours, interface, version, boot, ruleset, sysctl, management, policies, policy, yaml", word)
	}
	w.end()
}

func (p *parser) traffic(w *words) {
	t := &p.sc.Traffic
	switch word := w.next("statement"); word {
	case "udp":
		t.Rate = w.number("packets a second", 1, 100000)
		for w.more() {
			switch word := w.oneOf("word", "v4", "v6", "priority"); word {
			case "v4":
				t.V4 = true
			case "v6":
				t.V6 = true
			case "priority":
				t.Priority = w.number("priority", 1, 99)
			}
		}
		if !t.V4 && !t.V6 {
			t.V4, t.V6 = true, true
		}
	case "tcp":
		t.TCP = true
	case "probe":
		t.Probe = true
	case "paths":
		t.Paths = true
	case "conversation":
		p.talk(w)
	default:
		bad("traffic has no %q: udp, tcp, probe, paths, conversation", word)
	}
	w.end()
}

// member, node and segment take a name that is checked when the topology is known.
func (p *parser) member(w *words) string  { return p.name(w, "member") }
func (p *parser) node(w *words) string    { return p.name(w, "node") }
func (p *parser) segment(w *words) string { return p.name(w, "segment") }

func (p *parser) name(w *words, kind string) string {
	name := w.next(kind)
	p.refs = append(p.refs, reference{p.line, kind, name})
	return name
}

// finish checks what only the whole file can tell.
func (p *parser) finish() {
	s := &p.sc.Spec
	s.Name = p.sc.Name
	if err := s.Check(); err != nil {
		p.errs = append(p.errs, &Error{p.sc.File, p.line, strings.ReplaceAll(err.Error(), "\n", "; ")})
		return
	}
	if p.sc.Cluster.Method == "" && (len(p.sc.Cluster.Sharing) > 0 || strings.Contains(p.sc.Cluster.Ruleset, ruleset.Sharing)) {
		p.errs = append(p.errs, &Error{p.sc.File, p.line, "load sharing without its mode: write mode multicast or mode unicast"})
	}
	if hosts := func(g topology.Segment) bool { return g.Hosts == topology.Managers }; p.sc.Cluster.Management != "" && !slices.ContainsFunc(s.Segments, hosts) {
		p.errs = append(p.errs, &Error{p.sc.File, p.line, "management without a host for it: write segment NAME private managers"})
	}
	if len(p.sc.Steps) == 0 && len(p.errs) == 0 {
		p.errs = append(p.errs, &Error{p.sc.File, p.line, "no steps: a scenario does something"})
	}
	known := map[string][]string{"segment": {"all"}}
	for _, g := range s.Segments {
		known["segment"] = append(known["segment"], g.Name)
	}
	for _, n := range p.sc.Cluster.Policies {
		known["policy"] = append(known["policy"], n.Name)
	}
	known["node"] = topology.Names(*s)
	for i := range s.Members {
		known["member"] = append(known["member"], topology.MemberName(i))
	}
	for _, r := range p.refs {
		if !slices.Contains(known[r.kind], r.name) {
			p.errs = append(p.errs, &Error{p.sc.File, r.line, fmt.Sprintf("no %s %q: there are %s", r.kind, r.name, strings.Join(known[r.kind], " "))})
		}
	}
}
