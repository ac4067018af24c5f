// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/holdfast-project/holdfast/internal/build"
	"github.com/holdfast-project/holdfast/internal/journal"
	"github.com/holdfast-project/holdfast/internal/sdnotify"
	"github.com/holdfast-project/holdfast/internal/usage"
	"github.com/holdfast-project/holdfast/management"
	"github.com/holdfast-project/holdfast/management/coordinator"
	"github.com/holdfast-project/holdfast/management/records"
	"github.com/holdfast-project/holdfast/management/server"
	"github.com/holdfast-project/holdfast/policy"
)

// serving is what serve was told.
type serving struct {
	data
	listen, metrics, host string
	names                 []string
	unchecked, verbose    bool
	lives                 server.Lives
}

func (a *app) serveCommand() *cobra.Command {
	var s serving
	cmd := &cobra.Command{Use: "serve", Short: "Serve members and people until it is told to stop", Args: arguments(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error { return a.serve(cmd.Context(), s) }}
	s.flags(cmd)
	f := cmd.Flags()
	f.StringVar(&s.listen, "listen", ":9443", "address and port for members and people")
	f.StringVar(&s.metrics, "metrics", "", "address and port for /metrics without certificates, as 127.0.0.1:9850; default none")
	f.StringArrayVar(&s.names, "name", nil, "host name or address that this server is reached at, for its certificate; repeat it for more (default: all that this host has)")
	f.StringVar(&s.host, "host", "", "what this server is called in records (default the host's name)")
	f.BoolVar(&s.unchecked, "unchecked", false, "do not load rulesets into a scratch namespace before an install; members alone do")
	f.BoolVar(&s.verbose, "verbose", false, "log failed connections too")
	f.DurationVar(&s.lives.Server, "server-certificates", 90*24*time.Hour, "how long this server's certificates are good")
	f.DurationVar(&s.lives.Member, "member-certificates", 90*24*time.Hour, "how long members' certificates are good")
	f.DurationVar(&s.lives.Person, "person-certificates", 365*24*time.Hour, "how long people's certificates and tokens are good")
	return cmd
}

// serve runs the server until ctx ends.
func (a *app) serve(ctx context.Context, s serving) (err error) {
	for _, life := range []time.Duration{s.lives.Server, s.lives.Member, s.lives.Person} {
		if life < time.Minute || life > 400*24*time.Hour {
			return usage.New(fmt.Errorf("certificates for %v: 1m to 9600h", life))
		}
	}
	level := slog.LevelInfo
	if s.verbose {
		level = slog.LevelDebug
	}
	log := slog.New(journal.Handler(a.err, level, journal.Journaled(a.err, os.Getenv)))
	k, err := s.readKeys()
	if err != nil {
		return err
	}
	if s.host == "" {
		if s.host, err = os.Hostname(); err != nil {
			return err
		}
	}
	check, why, err := checker(ctx, s.unchecked)
	if err != nil {
		return err
	}
	st, err := s.open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	r := records.New(st, records.Options{Now: a.now})
	if users, err := r.Users(ctx); err != nil || len(users) == 0 {
		return errors.Join(err, errors.New("the store has nobody who may use it: run \"holdfast-mgmt init\", or restore a backup"))
	}
	if err := r.Claim(ctx, management.Actor{Kind: management.ByServer, Name: s.host}, k.fingerprint()); err != nil {
		return fmt.Errorf("%w; serve it with the keys that it was made with, or this host's own store", err)
	}
	co, err := coordinator.New(coordinator.Options{Records: r, Server: s.host, Log: log,
		Seal: func(b *policy.Bundle) (*policy.Sealed, error) { return policy.Seal(b, k.policy) }})
	if err != nil {
		return err
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", s.listen)
	if err != nil {
		return err
	}
	srv := server.New(server.Options{Records: r, Coordinator: co, Authority: k.authority, PolicyKeys: k.public, Host: s.host, Names: certified(s.names, s.host, s.listen),
		Lives: s.lives, Check: check, Unchecked: why, Version: build.Version, Log: log, Now: a.now})
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return co.Run(ctx) })
	g.Go(func() error { return srv.Run(ctx, l) })
	if s.metrics != "" {
		g.Go(func() error { return serveMetrics(ctx, s.metrics, srv.Metrics()) })
	}
	fmt.Fprintln(a.out, "listening on", l.Addr())
	if why != "" {
		log.Warn("rulesets are not loaded here before an install", "reason", why)
	}
	n := sdnotify.FromEnvironment()
	if err := n.Ready("serving"); err != nil {
		log.Warn("the service manager cannot be told", "error", err)
	}
	err = g.Wait()
	if e := n.Stopping(); e != nil {
		log.Warn("the service manager cannot be told", "error", e)
	}
	return err
}

// checker is what rulesets are checked with; why is why there is none. Without the rights for it the server does not start, rather than take any ruleset.
func checker(ctx context.Context, unchecked bool) (check server.Checker, why string, err error) {
	if unchecked {
		return nil, "it was started with --unchecked", nil
	}
	if err := server.TryCheck(ctx); err != nil {
		return nil, "", fmt.Errorf("rulesets cannot be checked here: %w; run it with CAP_SYS_ADMIN and CAP_NET_ADMIN and nft installed, or with --unchecked", err)
	}
	return server.KernelCheck, "", nil
}

// certified are the names that the server's certificate is good for: those that were given, or all that this host is known by.
func certified(names []string, host, listen string) []string {
	if names != nil {
		return names
	}
	all := []string{host, "localhost", "127.0.0.1", "::1"}
	if at, _, err := net.SplitHostPort(listen); err == nil && at != "" {
		all = append(all, at)
	}
	if addresses, err := net.InterfaceAddrs(); err == nil {
		for _, addr := range addresses {
			if n, ok := addr.(*net.IPNet); ok {
				all = append(all, n.IP.String())
			}
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

func serveMetrics(ctx context.Context, listen string, h http.Handler) error {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", listen)
	if err != nil {
		return fmt.Errorf("metrics: %w", err)
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", h)
	hs := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second, WriteTimeout: time.Minute}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		if err := hs.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	})
	g.Go(func() error {
		<-ctx.Done()
		return hs.Close()
	})
	return g.Wait()
}
