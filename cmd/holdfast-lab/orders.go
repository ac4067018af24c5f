// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"

	"github.com/spf13/cobra"

	"github.com/holdfast-project/holdfast/internal/usage"
	"github.com/holdfast-project/holdfast/lab/machine"
	"github.com/holdfast-project/holdfast/lab/report"
	"github.com/holdfast-project/holdfast/lab/scenario"
	"github.com/holdfast-project/holdfast/lab/topology"
)

// order is what an open laboratory is asked on its socket: one of the two.
type order struct {
	Do    string `json:"do,omitempty"`    // a step
	Where string `json:"where,omitempty"` // a node
}

// answer is one line of what it says; the last one has End set.
type answer struct {
	Line  string `json:"line,omitempty"`
	End   bool   `json:"end,omitempty"`
	Error string `json:"error,omitempty"`
	place
}

// place is where a node is: paths of its namespaces, of which only Net is always there.
type place struct {
	Net   string `json:"net,omitempty"`
	Mount string `json:"mount,omitempty"`
	PID   string `json:"pid,omitempty"`
	// Control is the socket of the member's daemon.
	Control string `json:"control,omitempty"`
}

// server takes orders for an open laboratory.
type server struct {
	listener net.Listener
	session  *scenario.Session
	timeline *report.Timeline
	mu       sync.Mutex // one order at a time
}

func listen(socket string, session *scenario.Session, timeline *report.Timeline) (*server, error) {
	l, err := net.Listen("unix", socket)
	if err != nil {
		return nil, err
	}
	return &server{listener: l, session: session, timeline: timeline}, os.Chmod(socket, 0o600)
}

// serve takes orders until ctx ends.
func (s *server) serve(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { s.listener.Close() })
	defer stop()
	var open sync.WaitGroup
	defer open.Wait()
	for {
		c, err := s.listener.Accept()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		open.Go(func() {
			defer c.Close()
			hangUp := context.AfterFunc(ctx, func() { c.Close() })
			defer hangUp()
			s.talk(ctx, c)
		})
	}
}

func (s *server) talk(ctx context.Context, c net.Conn) {
	var o order
	if json.NewDecoder(c).Decode(&o) != nil {
		return // not one of ours
	}
	out := json.NewEncoder(c)
	last := answer{End: true}
	if err := s.obey(ctx, o, out, &last); err != nil {
		last.Error = err.Error()
	}
	_ = out.Encode(last) // who has gone does not care
}

func (s *server) obey(ctx context.Context, o order, out *json.Encoder, last *answer) (err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if o.Where != "" {
		last.place, err = s.where(o.Where)
		return err
	}
	seen := len(s.timeline.Events())
	err = s.session.Do(ctx, o.Do)
	events := s.timeline.Events()
	for _, e := range events[min(seen, len(events)):] {
		_ = out.Encode(answer{Line: report.Style{}.Line(e, e.At)})
	}
	return err
}

func (s *server) where(name string) (place, error) {
	n, err := s.session.Lab().Node(name)
	if err != nil {
		return place{}, err
	}
	p := place{Net: n.NS.Path()}
	if n.Kind != topology.Member {
		return p, nil
	}
	var m *machine.Machine
	if m, err = s.session.Cluster().Machine(name); err != nil {
		return place{}, err
	}
	pid := m.InitPID()
	if pid == 0 {
		return place{}, fmt.Errorf("%s is off: holdfast-lab do power-on %s", name, name)
	}
	p.Control = s.session.Cluster().Options().Socket(name)
	p.Mount, p.PID = fmt.Sprintf("/proc/%d/ns/mnt", pid), fmt.Sprintf("/proc/%d/ns/pid", pid)
	return p, nil
}

// ask sends an order to an open laboratory, calls line with what it says and returns its last answer.
func ask(ctx context.Context, socket string, o order, line func(string)) (answer, error) {
	c, err := new(net.Dialer).DialContext(ctx, "unix", socket)
	if err != nil {
		return answer{}, fmt.Errorf("the laboratory does not answer; see holdfast-lab list: %w", err)
	}
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { c.Close() })
	defer stop()
	if err := json.NewEncoder(c).Encode(o); err != nil {
		return answer{}, err
	}
	in := json.NewDecoder(bufio.NewReader(c))
	for {
		var a answer
		if err := in.Decode(&a); err != nil && ctx.Err() != nil {
			return answer{}, errors.New("interrupted; the laboratory stays open")
		} else if err != nil {
			return answer{}, fmt.Errorf("the laboratory hung up: %w; see holdfast-lab list", err)
		}
		if a.Error != "" {
			return a, errors.New(a.Error)
		}
		if a.End {
			return a, nil
		}
		line(a.Line)
	}
}

func doCommand(o *options) *cobra.Command {
	var lab string
	cmd := &cobra.Command{
		Use:     "do STEP",
		Short:   "Carry out one step of a scenario in an open laboratory",
		Long:    "Carry out one step of a scenario in an open laboratory. holdfast-lab steps lists them.",
		Example: "  holdfast-lab do power-off fw1\n  holdfast-lab do unplug fw2 ext\n  holdfast-lab do expect active fw2 within 100ms",
		Args:    usage.Arguments(cobra.MinimumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			rec, err := find(o.root, labArg(lab))
			if err != nil {
				return err
			}
			_, err = ask(cmd.Context(), rec.Socket, order{Do: strings.Join(args, " ")}, func(line string) {
				fmt.Fprintln(cmd.OutOrStdout(), line)
			})
			return err
		},
	}
	cmd.Flags().StringVar(&lab, "lab", "", "which laboratory, if several are open")
	return cmd
}

func stepsCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "steps",
		Short: "List the steps of scenarios, and what they can expect",
		Args:  usage.Arguments(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprint(cmd.OutOrStdout(), scenario.Help())
			return err
		},
	}
}

func labArg(lab string) []string {
	if lab == "" {
		return nil
	}
	return []string{lab}
}
