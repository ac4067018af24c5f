// SPDX-License-Identifier: Apache-2.0

// Package etcdtest runs a real etcd, of one member or of several, on loopback, for tests and measurements. It is nothing to run a fleet on.
package etcdtest

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
)

// Server is one member of an etcd. It dies with the process that started it.
type Server struct {
	Endpoint string      // HOST:PORT for clients
	Args     []string    // of etcd, beside those that it needs; before Run
	TLS      *tls.Config // that clients need, if Args say so; before Run

	name, dir, peer, cluster string
	cmd                      *exec.Cmd
	ended                    chan struct{}
	prefixes                 atomic.Int64
}

// New chooses the addresses of an etcd of one member with its data below dir. Run starts it.
func New(dir string) (*Server, error) {
	all, err := NewCluster(dir, 1)
	if err != nil {
		return nil, err
	}
	return all[0], nil
}

// NewCluster is New with n members. Run returns for each when a majority runs, so all but one are run at the same time.
func NewCluster(dir string, n int) ([]*Server, error) {
	var all []*Server
	var peers []string
	for i := range n {
		s := &Server{name: fmt.Sprintf("etcd-%d", i), dir: dir}
		for _, place := range []*string{&s.Endpoint, &s.peer} {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				return nil, fmt.Errorf("etcd: %w", err)
			}
			defer l.Close() // all are held until all are chosen
			*place = l.Addr().String()
		}
		all = append(all, s)
		peers = append(peers, s.name+"=http://"+s.peer)
	}
	for _, s := range all {
		s.cluster = strings.Join(peers, ",")
	}
	return all, nil
}

// Run starts it, at first and again after Stop: with the same data, at the same address. It returns when etcd answers.
func (s *Server) Run(ctx context.Context) error {
	client := "http://" + s.Endpoint
	if s.TLS != nil {
		client = "https://" + s.Endpoint
	}
	s.cmd = exec.Command("etcd", append([]string{"--name", s.name, "--data-dir", filepath.Join(s.dir, s.name), "--logger", "zap", "--log-level", "panic",
		"--listen-client-urls", client, "--advertise-client-urls", client,
		"--listen-peer-urls", "http://" + s.peer, "--initial-advertise-peer-urls", "http://" + s.peer, "--initial-cluster", s.cluster,
		"--heartbeat-interval", "20", "--election-timeout", "300", "--auto-compaction-mode", "revision", "--auto-compaction-retention", "1000"}, s.Args...)...)
	s.cmd.Stderr = os.Stderr
	if runtime.GOARCH != "amd64" {
		s.cmd.Env = append(os.Environ(), "ETCD_UNSUPPORTED_ARCH="+runtime.GOARCH) // 3.4 asks for it
	}
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	started := make(chan error, 1)
	s.ended = make(chan struct{})
	go func() {
		// The kernel kills it when the thread that started it ends, which is nobody else's.
		runtime.LockOSThread()
		defer close(s.ended)
		err := s.cmd.Start()
		started <- err
		if err == nil {
			_ = s.cmd.Wait()
		}
	}()
	if err := <-started; err != nil {
		return fmt.Errorf("etcd: %w", err)
	}
	c, err := s.Client()
	if err != nil {
		return err
	}
	defer c.Close()
	retry := time.NewTicker(20 * time.Millisecond)
	defer retry.Stop()
	for {
		call, cancel := context.WithTimeout(ctx, time.Second)
		_, err := c.Get(call, "there?")
		cancel()
		if err == nil {
			return nil
		}
		select {
		case <-retry.C:
		case <-ctx.Done():
			s.Stop()
			return fmt.Errorf("etcd does not answer: %w", err)
		}
	}
}

// Client speaks to this member alone.
func (s *Server) Client() (*clientv3.Client, error) {
	c, err := clientv3.New(clientv3.Config{Endpoints: []string{s.Endpoint}, TLS: s.TLS, Logger: zap.NewNop()})
	if err != nil {
		return nil, fmt.Errorf("etcd: %w", err)
	}
	return c, nil
}

// Stop kills it, as a crash would.
func (s *Server) Stop() {
	_ = s.cmd.Process.Kill()
	<-s.ended
}

// PID is its process, for who measures it.
func (s *Server) PID() int { return s.cmd.Process.Pid }

// Target is what store.Open takes; each call names an empty store.
func (s *Server) Target() string {
	return fmt.Sprintf("etcd://%s/store%d", s.Endpoint, s.prefixes.Add(1))
}
