// SPDX-License-Identifier: Apache-2.0

package scenario

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast-project/holdfast/lab/management"
	"github.com/holdfast-project/holdfast/lab/members"
	"github.com/holdfast-project/holdfast/lab/report"
)

// managing is management in a scenario. The zero value is none.
type managing struct {
	site  *management.Site
	begun *begun // the install that goes on beside the steps
}

// begun is an order that has not ended.
type begun struct {
	cancel context.CancelFunc
	done   chan struct{}
	out    string
	err    error
}

func (m *managing) close() error {
	if m.begun != nil {
		m.begun.cancel()
		<-m.begun.done
	}
	if m.site == nil {
		return nil
	}
	return m.site.Close()
}

// policySection gives members a policy section if the scenario has management, and their certificates before they start.
func (r *runner) policySection(o *members.Options) {
	c := r.sc.Cluster
	if c.Management == "" {
		o.Policy = c.PolicyYAML
		return
	}
	o.Policy = append([]string{
		"keys: " + management.PublicKey(o.Dir, r.lab),
		"management: [" + strings.Join(management.URLs(r.lab), ", ") + "]",
	}, c.PolicyYAML...)
	o.BeforeStart = r.enrol
}

// enrol lets a member ask for its certificate, as its operator does once before it first starts.
func (r *runner) enrol(m *members.Member) error {
	if _, err := os.Stat(filepath.Join(m.StateDir(), "management", "identity.pem")); err == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), stepPatience)
	defer cancel()
	token, err := r.managing.site.Token(ctx, m.Name())
	if err != nil {
		return err
	}
	return r.managing.site.Enrol(ctx, m.Machine(), m.Config(), m.Name(), token)
}

func (r *runner) openManagement(ctx context.Context) (err error) {
	c := r.sc.Cluster
	for _, n := range c.Policies {
		if err := os.WriteFile(r.policyFile(n.Name), []byte(n.Text), 0o600); err != nil {
			return err
		}
	}
	if c.Management == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, stepPatience)
	defer cancel()
	binary, err := members.FindBinary(r.opts.Binary)
	if err != nil {
		return err
	}
	r.managing.site, err = management.Open(ctx, r.lab, management.Options{
		Binaries: filepath.Dir(binary), Dir: r.cluster.Options().Dir, Etcd: c.Management == "etcd",
	})
	return err
}

func (r *runner) policyFile(name string) string {
	return filepath.Join(r.cluster.Options().Dir, name+".nft")
}

// manage sends a management server a signal, or starts one that was killed.
type manage struct{ verb, server string }

// managementStep parses "kill|stop|continue|start [NODE]", "backup NAME" and "restore NAME [NODE]".
func (p *parser) managementStep(w *words) action {
	verb := w.oneOf("order", "kill", "stop", "continue", "start", "backup", "restore")
	switch verb {
	case "backup":
		return backup{name: w.next("name of a backup")}
	case "restore":
		b := backup{name: w.next("name of a backup"), restore: true, server: firstManager}
		if w.more() {
			b.server = p.node(w)
		}
		return b
	}
	m := manage{verb: verb, server: firstManager}
	if w.more() {
		m.server = p.node(w)
	}
	return m
}

const firstManager = "mgmt1"

// server returns a management server of the scenario.
func (r *runner) server(name string) (*management.Server, error) {
	if r.managing.site == nil {
		return nil, errNoManagement
	}
	return r.managing.site.Server(name)
}

func (a manage) run(ctx context.Context, r *runner) error {
	s, err := r.server(a.server)
	if err != nil {
		return err
	}
	switch a.verb {
	case "kill":
		r.harm(a.server, "management is killed")
		return s.Signal(unix.SIGKILL)
	case "stop":
		r.harm(a.server, "management stands still")
		return s.Signal(unix.SIGSTOP)
	case "continue":
		r.heal(a.server, "management goes on")
		return s.Signal(unix.SIGCONT)
	}
	r.heal(a.server, "management starts")
	ctx, cancel := context.WithTimeout(ctx, stepPatience)
	defer cancel()
	return s.Start(ctx)
}

type backup struct {
	name    string
	restore bool
	server  string
}

func (a backup) run(ctx context.Context, r *runner) error {
	file := filepath.Join(r.cluster.Options().Dir, a.name+".backup")
	if !a.restore {
		r.add(report.Event{Kind: report.Step, Text: "backup of management"})
		_, err := r.manager(ctx, "backup", file)
		return err
	}
	s, err := r.server(a.server)
	if err != nil {
		return err
	}
	r.harm(a.server, "management is restored from a backup")
	return s.Restore(ctx, file)
}

var errNoManagement = errors.New("there is no management: write management in the block cluster")

// manager carries out an order at management, within installPatience.
func (r *runner) manager(ctx context.Context, args ...string) (string, error) {
	if r.managing.site == nil {
		return "", errNoManagement
	}
	ctx, cancel := context.WithTimeout(ctx, installPatience)
	defer cancel()
	return r.managing.site.Run(ctx, args...)
}

// installPatience is how long an order at management may take.
const installPatience = 90 * time.Second

// policyOrder is an order at management that concerns the cluster's policy.
type policyOrder struct {
	policy  string   // to install; "" otherwise
	args    []string // of holdfast-mgmt policy
	begin   bool     // the steps go on meanwhile
	refused bool     // it must fail
	text    string   // what its output must contain
}

// policyStep parses "install|begin NAME [OPTIONS] [refused] [TEXT]", "end [refused] [TEXT]", "rollback [GENERATION] ...", "confirm", "cancel".
func (p *parser) policyStep(w *words) action {
	var o policyOrder
	switch verb := w.oneOf("order", "install", "begin", "end", "rollback", "confirm", "cancel"); verb {
	case "install", "begin":
		o.policy, o.begin = p.name(w, "policy"), verb == "begin"
		o.args = append([]string{"install", ""}, p.installOptions(w)...)
	case "end":
	case "rollback":
		o.args = []string{"rollback"}
		if _, err := strconv.Atoi(w.peek()); err == nil {
			o.args = append(o.args, w.next("generation"))
		}
		o.args = append(o.args, p.installOptions(w)...)
	default:
		o.args = []string{verb}
	}
	o.refused = w.take("refused")
	o.text = w.all()
	return o
}

func (p *parser) installOptions(w *words) (args []string) {
	for {
		switch {
		case w.take("best-effort"):
			args = append(args, "--best-effort")
		case w.take("prepare-within"):
			args = append(args, "--prepare-within", w.duration("time").String())
		case w.take("confirm-within"):
			args = append(args, "--confirm-within", w.duration("time").String())
		case w.take("rematch"):
			args = append(args, "--connections", "rematch")
		case w.take("keep"):
			args = append(args, "--keep", w.next("family")+" "+w.next("table")+" "+w.next("set"))
		default:
			return args
		}
	}
}

func (a policyOrder) run(ctx context.Context, r *runner) error {
	if a.args == nil { // end
		b := r.managing.begun
		if b == nil {
			return errors.New("no install was begun")
		}
		select {
		case <-b.done:
		case <-ctx.Done():
			return ctx.Err()
		}
		b.cancel()
		r.managing.begun = nil
		return a.judge(r, b.out, b.err)
	}
	args := append([]string{"policy"}, a.args...)
	if a.policy != "" {
		args[2] = r.policyFile(a.policy)
	}
	args = append(args, "--cluster", management.Cluster)
	r.add(report.Event{Kind: report.Step, Text: strings.Join(append(args[1:2:2], args[2:]...), " ")})
	if !a.begin {
		out, err := r.manager(ctx, args...)
		return a.judge(r, out, err)
	}
	if r.managing.begun != nil {
		return errors.New("an install was begun and has not ended: policy end")
	}
	ctx, cancel := context.WithCancel(ctx)
	b := &begun{cancel: cancel, done: make(chan struct{})}
	r.managing.begun = b
	go func() {
		defer close(b.done)
		b.out, b.err = r.manager(ctx, args...)
	}()
	return nil
}

// judge compares what became of an order with what the step says.
func (a policyOrder) judge(r *runner, out string, err error) error {
	lines := strings.Split(strings.TrimSpace(out), "\n")
	r.add(report.Event{Kind: report.Note, Text: "management: " + strings.TrimSpace(lines[len(lines)-1])})
	switch {
	case err != nil && !a.refused:
		return err
	case err == nil && a.refused:
		return fmt.Errorf("it was not refused: %s", strings.TrimSpace(out))
	case !strings.Contains(out, a.text):
		return fmt.Errorf("no %q in what management said: %s", a.text, strings.TrimSpace(out))
	}
	return nil
}
