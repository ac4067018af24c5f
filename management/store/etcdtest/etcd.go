// SPDX-License-Identifier: Apache-2.0

// Package etcdtest runs a real etcd, alone, on loopback, for tests and measurements. It is nothing to run a fleet on.
package etcdtest

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"syscall"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
)

// Server is an etcd of one member. It dies with the process that started it.
type Server struct {
	Endpoint string // HOST:PORT for clients

	dir, peer string
	cmd       *exec.Cmd
	prefixes  atomic.Int64
}

// New chooses the addresses of an etcd with its data below dir. Run starts it.
func New(dir string) (*Server, error) {
	s := &Server{dir: dir}
	for _, place := range []*string{&s.Endpoint, &s.peer} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, fmt.Errorf("etcd: %w", err)
		}
		defer l.Close() // both are held until both are chosen
		*place = l.Addr().String()
	}
	return s, nil
}

// Run starts it, at first and again after Stop: with the same data, at the same address. It returns when etcd answers.
func (s *Server) Run(ctx context.Context) error {
	s.cmd = exec.Command("etcd", "--name", "one", "--data-dir", filepath.Join(s.dir, "data"), "--logger", "zap", "--log-level", "error",
		"--listen-client-urls", "http://"+s.Endpoint, "--advertise-client-urls", "http://"+s.Endpoint,
		"--listen-peer-urls", "http://"+s.peer, "--initial-advertise-peer-urls", "http://"+s.peer, "--initial-cluster", "one=http://"+s.peer,
		"--heartbeat-interval", "20", "--election-timeout", "300", "--auto-compaction-mode", "revision", "--auto-compaction-retention", "1000")
	s.cmd.Stderr = os.Stderr
	if runtime.GOARCH != "amd64" {
		s.cmd.Env = append(os.Environ(), "ETCD_UNSUPPORTED_ARCH="+runtime.GOARCH) // 3.4 asks for it
	}
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := s.cmd.Start(); err != nil {
		return fmt.Errorf("etcd: %w", err)
	}
	client, err := clientv3.New(clientv3.Config{Endpoints: []string{"http://" + s.Endpoint}, Logger: zap.NewNop()})
	if err != nil {
		return fmt.Errorf("etcd: %w", err)
	}
	defer client.Close()
	retry := time.NewTicker(20 * time.Millisecond)
	defer retry.Stop()
	for {
		call, cancel := context.WithTimeout(ctx, time.Second)
		_, err := client.Get(call, "there?")
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

// Stop kills it, as a crash would.
func (s *Server) Stop() {
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
}

// PID is its process, for who measures it.
func (s *Server) PID() int { return s.cmd.Process.Pid }

// Target is what store.Open takes; each call names an empty store.
func (s *Server) Target() string {
	return fmt.Sprintf("etcd://%s/store%d", s.Endpoint, s.prefixes.Add(1))
}
