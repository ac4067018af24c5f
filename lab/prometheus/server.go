// SPDX-License-Identifier: Apache-2.0

package prometheus

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/holdfast-project/holdfast/lab/tap"
)

// Config says what to scrape, from where.
type Config struct {
	// Start starts a process on the node; nil starts it here. In is the node's network namespace, nil this one.
	Start func(*exec.Cmd) error
	In    tap.Namespace
	// Dir is an empty directory for its configuration and data.
	Dir string
	// Targets are the addresses to scrape, "10.1.0.11:9400"; Path is where, "" means /metrics.
	Targets []netip.AddrPort
	Path    string
	// Every is the scrape interval; 0 means 1 s, the least that is of use.
	Every time.Duration
	// Listen is where it answers queries; the zero value means 127.0.0.1:9090 of the node.
	Listen netip.AddrPort
}

// Server is a running Prometheus. Its queries are safe for concurrent use.
type Server struct {
	cfg    Config
	cmd    *exec.Cmd
	out    bytes.Buffer
	ended  chan struct{}
	task   errgroup.Group // waits for the process; Stop waits for it
	client *http.Client
}

const (
	// readyPoll is the time between two looks whether it has started.
	readyPoll = 100 * time.Millisecond
	// stopPatience is how long it may take to end in order.
	stopPatience = 5 * time.Second
)

// Start starts Prometheus and waits until it is ready. Stop must be called if the error is nil.
func Start(ctx context.Context, cfg Config) (*Server, error) {
	if cfg.Every == 0 {
		cfg.Every = time.Second
	}
	if cfg.Path == "" {
		cfg.Path = "/metrics"
	}
	if !cfg.Listen.IsValid() {
		cfg.Listen = netip.MustParseAddrPort("127.0.0.1:9090")
	}
	if cfg.Start == nil {
		cfg.Start = (*exec.Cmd).Start
	}
	binary, err := exec.LookPath("prometheus")
	if err != nil {
		return nil, fmt.Errorf("prometheus: %w: install Debian's package prometheus", err)
	}
	file := filepath.Join(cfg.Dir, "prometheus.yml")
	if err := os.WriteFile(file, []byte(cfg.yaml()), 0o644); err != nil {
		return nil, fmt.Errorf("prometheus: %w", err)
	}
	s := &Server{cfg: cfg, ended: make(chan struct{})}
	s.cmd = exec.Command(binary, "--config.file="+file, "--storage.tsdb.path="+filepath.Join(cfg.Dir, "data"),
		"--web.listen-address="+cfg.Listen.String(), "--log.level=warn")
	s.cmd.Dir, s.cmd.Stdout, s.cmd.Stderr = cfg.Dir, &s.out, &s.out
	if err := cfg.Start(s.cmd); err != nil {
		return nil, fmt.Errorf("prometheus: %w", err)
	}
	s.task.Go(func() error {
		defer close(s.ended)
		_ = s.cmd.Wait() // the way it ends says nothing: it is told to
		return nil
	})
	s.client = &http.Client{Transport: &http.Transport{DialContext: s.dial, DisableKeepAlives: true}}
	if err := s.await(ctx); err != nil {
		return nil, errors.Join(err, s.Stop())
	}
	return s, nil
}

// yaml is its configuration.
func (c Config) yaml() string {
	var b strings.Builder
	fmt.Fprintf(&b, "global: {scrape_interval: %s, scrape_timeout: %s}\n", c.Every, c.Every)
	fmt.Fprintf(&b, "scrape_configs:\n  - job_name: members\n    metrics_path: %q\n    static_configs:\n      - targets:\n", c.Path)
	for _, t := range c.Targets {
		fmt.Fprintf(&b, "          - %q\n", t)
	}
	return b.String()
}

// dial connects from the node.
func (s *Server) dial(ctx context.Context, network, address string) (conn net.Conn, err error) {
	var d net.Dialer
	err = s.cfg.In.Do(func() error {
		conn, err = d.DialContext(ctx, network, address)
		return err
	})
	return conn, err
}

// await waits until it is ready.
func (s *Server) await(ctx context.Context) error {
	ticker := time.NewTicker(readyPoll)
	defer ticker.Stop()
	for {
		body, err := s.get(ctx, "/-/ready")
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("prometheus: not ready: %w (%w)", err, ctx.Err())
		case <-s.ended:
			return fmt.Errorf("prometheus: ended by itself: %s%s", s.out.String(), body)
		case <-ticker.C:
		}
	}
}

// PID is its process number.
func (s *Server) PID() int { return s.cmd.Process.Pid }

// Stop ends it in order, and by force after 5 s.
func (s *Server) Stop() error {
	s.client.CloseIdleConnections()
	if err := s.cmd.Process.Signal(unix.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("prometheus: stop: %w", err)
	}
	timer := time.NewTimer(stopPatience)
	defer timer.Stop()
	select {
	case <-s.ended:
		return s.task.Wait()
	case <-timer.C:
	}
	if err := s.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("prometheus: kill: %w", err)
	}
	return s.task.Wait()
}
