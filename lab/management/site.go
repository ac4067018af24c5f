// SPDX-License-Identifier: Apache-2.0

package management

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/holdfast-project/holdfast/lab/machine"
	"github.com/holdfast-project/holdfast/lab/topology"
)

// Port is where servers listen.
const Port = 9443

// Cluster is the name that the laboratory's cluster has.
const Cluster = "lab"

// Options say how management is set up.
type Options struct {
	// Binaries is the directory of holdfast-mgmt and holdfast.
	Binaries string
	// Dir is the laboratory's directory, which has cluster.yaml; each server gets one below it.
	Dir string
	// Etcd keeps the store in an etcd on the first management node, for all servers; else each would have a file of its own, so there
	// can be one server only.
	Etcd bool
}

// Site is all servers of one management. Not safe for concurrent use, but for Run.
type Site struct {
	opts    Options
	servers []*Server
	etcd    *machine.Running
}

// URLs are where members find the servers of a topology.
func URLs(lab *topology.Lab) []string {
	var urls []string
	for _, n := range lab.OfKind(topology.Manager) {
		urls = append(urls, fmt.Sprintf("https://%s:%d", n.Ports[0].V4.Addr(), Port))
	}
	return urls
}

// PublicKey is the file by which members know management's signature; it is there once Open has returned.
func PublicKey(dir string, lab *topology.Lab) string {
	return filepath.Join(dir, lab.OfKind(topology.Manager)[0].Name, "keys", "policy.pub")
}

// Open makes a new management and starts its servers; the cluster of cluster.yaml is in it. Close must be called, also after an error.
func Open(ctx context.Context, lab *topology.Lab, o Options) (*Site, error) {
	s := &Site{opts: o}
	nodes := lab.OfKind(topology.Manager)
	switch {
	case len(nodes) == 0:
		return s, errors.New("management needs a segment with managers")
	case len(nodes) > 1 && !o.Etcd:
		return s, fmt.Errorf("%d management servers need a store that they share: etcd", len(nodes))
	}
	for _, n := range nodes {
		v := &Server{name: n.Name, binaries: o.Binaries, dir: filepath.Join(o.Dir, n.Name), machine: machine.New(lab, n)}
		if err := os.MkdirAll(v.dir, 0o700); err != nil {
			return s, err
		}
		s.servers = append(s.servers, v)
		if err := v.machine.Boot(); err != nil {
			return s, err
		}
	}
	first := s.servers[0]
	if o.Etcd {
		address := nodes[0].Ports[0].V4.Addr().String()
		if err := s.startEtcd(ctx, address); err != nil {
			return s, err
		}
		for _, v := range s.servers {
			v.store = "etcd://" + address + ":2379"
		}
	}
	order := append([]string{"init", "--data", first.dir}, first.storeFlags()...)
	for _, url := range URLs(lab) {
		order = append(order, "--server", url)
	}
	if _, err := first.command(ctx, "holdfast-mgmt", order...); err != nil {
		return s, err
	}
	for _, v := range s.servers {
		if v != first {
			if err := os.CopyFS(filepath.Join(v.dir, "keys"), os.DirFS(filepath.Join(first.dir, "keys"))); err != nil {
				return s, err
			}
		}
		if err := v.start(ctx); err != nil {
			return s, err
		}
	}
	_, err := s.Run(ctx, "cluster", "add", filepath.Join(o.Dir, "cluster.yaml"))
	return s, err
}

// Server returns the server on a node.
func (s *Site) Server(name string) (*Server, error) {
	for _, v := range s.servers {
		if v.name == name {
			return v, nil
		}
	}
	return nil, fmt.Errorf("no management server %q", name)
}

// Run runs holdfast-mgmt as the first administrator on the first management node, and returns what it printed. An error has it too.
func (s *Site) Run(ctx context.Context, args ...string) (string, error) {
	first := s.servers[0]
	return first.command(ctx, "holdfast-mgmt", append([]string{"--profile", filepath.Join(first.dir, "admin")}, args...)...)
}

// Token asks for a member's enrolment token.
func (s *Site) Token(ctx context.Context, member string) (string, error) {
	out, err := s.Run(ctx, "member", "token", "--cluster", Cluster, member)
	return strings.TrimSpace(out), err
}

// Enrol lets a member ask for its certificate with a token, as its operator does.
func (s *Site) Enrol(ctx context.Context, m *machine.Machine, config, member, token string) error {
	_, err := command(ctx, m, filepath.Join(s.opts.Binaries, "holdfast"), "enroll", "--config", config, "--member", member, token)
	return err
}

func (s *Site) startEtcd(ctx context.Context, address string) error {
	first := s.servers[0]
	etcd, err := exec.LookPath("etcd")
	if err != nil {
		return fmt.Errorf("%w: apt-get install etcd-server", err)
	}
	client, peer := "http://"+address+":2379", "http://"+address+":2380"
	cmd := exec.Command(etcd, "--data-dir", filepath.Join(first.dir, "etcd"), "--listen-client-urls", client, "--advertise-client-urls", client,
		"--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", "default="+peer, "--logger", "zap", "--log-level", "error")
	log, err := os.OpenFile(filepath.Join(first.dir, "etcd.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close() // etcd has its own
	cmd.Stdout, cmd.Stderr = log, log
	if s.etcd, err = first.machine.Start(cmd); err != nil {
		return err
	}
	return first.reachable(ctx, address+":2379", s.etcd)
}

// Close ends all servers and their machines.
func (s *Site) Close() error {
	var errs []error
	for _, v := range s.servers {
		errs = append(errs, v.machine.Close())
	}
	return errors.Join(errs...)
}

// command runs a program of ours on the server's machine until it ends.
func (v *Server) command(ctx context.Context, program string, args ...string) (string, error) {
	return command(ctx, v.machine, filepath.Join(v.binaries, program), args...)
}

func command(ctx context.Context, m *machine.Machine, program string, args ...string) (string, error) {
	cmd := exec.Command(program, args...)
	program = filepath.Base(program)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	run, err := m.Start(cmd)
	if err != nil {
		return "", err
	}
	select {
	case <-run.Done():
	case <-ctx.Done():
		_ = unix.Kill(run.PID(), unix.SIGKILL) // it may have ended
		<-run.Done()
		return out.String(), fmt.Errorf("%s %s: %w: %s", program, strings.Join(args, " "), ctx.Err(), strings.TrimSpace(out.String()))
	}
	if err := run.Wait(); err != nil {
		return out.String(), fmt.Errorf("%s %s: %w: %s", program, strings.Join(args, " "), err, strings.TrimSpace(out.String()))
	}
	return out.String(), nil
}
