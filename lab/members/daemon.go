// SPDX-License-Identifier: Apache-2.0

package members

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast-project/holdfast/internal/config"
	"github.com/holdfast-project/holdfast/internal/control"
	"github.com/holdfast-project/holdfast/internal/defines"
	"github.com/holdfast-project/holdfast/lab/machine"
	"github.com/holdfast-project/holdfast/lab/ruleset"
)

// Member is one member: a machine and the daemon on it. It is safe for concurrent use.
type Member struct {
	name    string
	opts    Options
	machine *machine.Machine
	client  *control.Client

	mu      sync.Mutex
	binary  string           // of its next start
	config  string           // likewise
	run     *machine.Running // the daemon that was started last
	stopped bool             // the laboratory stopped it: it answers nothing, and asking it would take long to find out
}

// Name returns the member's name.
func (m *Member) Name() string { return m.name }

// StateDir returns the path of what the member keeps over restarts.
func (m *Member) StateDir() string { return filepath.Join(m.opts.memberDir(m.name), "state") }

// Config returns the path of the configuration that the member's daemon starts with.
func (m *Member) Config() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.config
}

// Machine returns the member's machine.
func (m *Member) Machine() *machine.Machine { return m.machine }

// Client returns a client for the member's control socket.
func (m *Member) Client() *control.Client { return m.client }

// PID returns the daemon's process as this process sees it, 0 if none runs.
func (m *Member) PID() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.run.Alive() {
		return 0
	}
	return m.run.PID()
}

// start starts the daemon. It does not wait until the daemon answers.
func (m *Member) start() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.run.Alive() {
		return fmt.Errorf("member %s: start: its daemon runs", m.name)
	}
	log, err := os.OpenFile(m.opts.Log(m.name), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer log.Close() // the daemon has its own
	cmd := exec.Command(m.binary, "-config", m.config, "-member", m.name)
	cmd.Stdout, cmd.Stderr = log, log
	run, err := m.machine.Start(cmd)
	if err != nil {
		return err
	}
	m.run, m.stopped = run, false
	return nil
}

// Answering tells whether the daemon runs and was not stopped by the laboratory: whether it can be asked.
func (m *Member) Answering() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.run.Alive() && !m.stopped
}

// boot switches the machine on and starts the daemon.
func (m *Member) boot() error {
	if err := os.Remove(m.opts.Socket(m.name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := m.machine.Boot(); err != nil {
		return err
	}
	if err := m.prepare(); err != nil {
		return fmt.Errorf("member %s: %w", m.name, err)
	}
	if m.opts.BeforeStart != nil {
		if err := m.opts.BeforeStart(m); err != nil {
			return fmt.Errorf("member %s: %w", m.name, err)
		}
	}
	return m.start()
}

// prepare does what a machine's own services do before the daemon starts.
func (m *Member) prepare() error {
	ns := m.machine.Node().NS
	for _, key := range sorted(m.opts.Sysctls) {
		if err := ns.Sysctl(key, m.opts.Sysctls[key]); err != nil {
			return err
		}
	}
	if m.opts.Ruleset == "" {
		return nil
	}
	rules, err := m.rules()
	if err != nil {
		return err
	}
	return ruleset.Load(ns, rules)
}

// rules is the ruleset as this member loads it. Definitions that it includes are written first, as an operator lets
// "holdfast config defines --write" do before a boot loads the rules.
func (m *Member) rules() (string, error) {
	if !strings.Contains(m.opts.Ruleset, definesWord) {
		return m.opts.Expand(m.opts.Ruleset), nil
	}
	file := m.Config()
	c, err := config.Load(file)
	if err != nil {
		return "", err
	}
	i := slices.IndexFunc(c.Members, func(o config.Member) bool { return o.Name == m.name })
	if i < 0 {
		return "", fmt.Errorf("%s: no member %s", file, m.name)
	}
	path := filepath.Join(m.opts.memberDir(m.name), "defines.nft")
	if err := os.WriteFile(path, []byte(defines.Text(c, c.Members[i])), 0o600); err != nil {
		return "", err
	}
	return m.opts.Expand(strings.ReplaceAll(m.opts.Ruleset, definesWord, path)), nil
}

// definesWord stands in a ruleset for the path of the member's definitions.
const definesWord = "{defines}"

// awaitEnd waits until the daemon has ended.
func (m *Member) awaitEnd(ctx context.Context) error {
	m.mu.Lock()
	run := m.run
	m.mu.Unlock()
	if run == nil {
		return nil
	}
	select {
	case <-run.Done():
		return nil
	case <-ctx.Done():
		return fmt.Errorf("member %s: its daemon does not end: %w", m.name, ctx.Err())
	}
}

// awaitAnswer waits until the daemon answers on its control socket; it fails at once when the daemon ends.
func (m *Member) awaitAnswer(ctx context.Context) error {
	m.mu.Lock()
	run := m.run
	m.mu.Unlock()
	for {
		_, err := m.state(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-run.Done():
			return fmt.Errorf("member %s: its daemon ended (%w): %s", m.name, run.Wait(), m.lastWords())
		case <-ctx.Done():
			return fmt.Errorf("member %s: its daemon does not answer: %w (%w): %s", m.name, err, ctx.Err(), m.lastWords())
		case <-time.After(pollEvery):
		}
	}
}

// pollEvery is how often a state that is waited for is asked for.
const pollEvery = 10 * time.Millisecond

// askPatience bounds one question to a daemon, which may be stopped.
const askPatience = 250 * time.Millisecond

func (m *Member) state(ctx context.Context) (control.State, error) {
	ctx, cancel := context.WithTimeout(ctx, askPatience)
	defer cancel()
	return m.client.State(ctx)
}

// lastWords returns the last lines of the daemon's log.
func (m *Member) lastWords() string {
	raw, err := os.ReadFile(m.opts.Log(m.name))
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(raw)), "\n")
	return strings.Join(lines[max(0, len(lines)-5):], "\n")
}

// signal sends a signal to a part of the member's software.
func (m *Member) signal(sig unix.Signal, part machine.Part) error {
	main := m.PID()
	count, err := m.machine.Signal(sig, func(p machine.Process) bool {
		pulse := len(p.Args) == 2 && p.Args[1] == "pulse"
		switch part {
		case machine.MainPart:
			return p.PID == main
		case machine.Pulse:
			return pulse
		default:
			return p.PID == main || pulse
		}
	})
	if part != machine.Pulse && sig != unix.SIGTERM {
		m.mu.Lock()
		m.stopped = sig == unix.SIGSTOP
		m.mu.Unlock()
	}
	if err == nil && count == 0 {
		err = fmt.Errorf("member %s: signal %v: no process of part %s runs", m.name, sig, part)
	}
	return err
}

// FindBinary finds holdfastd at path or, if that is "", where a build leaves it.
func FindBinary(path string) (string, error) {
	if path != "" {
		return filepath.Abs(path)
	}
	var tried []string
	if exe, err := os.Executable(); err == nil {
		tried = append(tried, filepath.Join(filepath.Dir(exe), "holdfastd"))
	}
	tried = append(tried, filepath.Join("bin", "holdfastd"))
	for _, p := range tried {
		if info, err := os.Stat(p); err == nil && info.Mode().IsRegular() {
			return filepath.Abs(p)
		}
	}
	if p, err := exec.LookPath("holdfastd"); err == nil {
		return filepath.Abs(p)
	}
	return "", fmt.Errorf("no holdfastd at %s nor on PATH: build it (make build) or name its directory with -bin", strings.Join(tried, " or "))
}

func sorted(m map[string]string) []string { return slices.Sorted(maps.Keys(m)) }
