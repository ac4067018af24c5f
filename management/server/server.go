// SPDX-License-Identifier: Apache-2.0

package server

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"

	"github.com/holdfast-project/holdfast/management/coordinator"
	"github.com/holdfast-project/holdfast/management/pki"
	"github.com/holdfast-project/holdfast/management/records"
)

// Lives are how long certificates are good. Zero values are the defaults.
type Lives struct {
	Server time.Duration // 90 days; renewed by the server itself
	Member time.Duration // 90 days; renewed by the member after two thirds
	Person time.Duration // 365 days; renewed by who has it
}

const day = 24 * time.Hour

func (l Lives) orDefaults() Lives {
	for _, v := range []struct {
		is       *time.Duration
		standard time.Duration
	}{{&l.Server, 90 * day}, {&l.Member, 90 * day}, {&l.Person, 365 * day}} {
		if *v.is == 0 {
			*v.is = v.standard
		}
	}
	return l
}

// Options are what a server is made from.
type Options struct {
	Records     *records.Records         // required
	Coordinator *coordinator.Coordinator // required; the caller runs it
	Authority   *pki.Authority           // required
	PolicyKeys  []byte                   // PEM of the keys that members are to trust policies of
	Host        string                   // name of this server in records
	Names       []string                 // host names and addresses that its certificate is good for
	Lives       Lives
	Check       Checker // nil: rulesets are read and linted, and loaded only by the members
	Unchecked   string  // why Check is nil, for people
	Version     string
	Log         *slog.Logger     // nil: nothing is logged
	Now         func() time.Time // time.Now
	Random      io.Reader        // crypto/rand.Reader

	lineWithin time.Duration // how long a client may take to receive a line of a stream, or a piece of a file; 0: inTime
}

// Server answers the API. Safe for concurrent use.
type Server struct {
	o        Options
	mux      *http.ServeMux
	known    *known
	limits   limits
	heavy    chan struct{} // a place each for requests that read much
	installs chan struct{} // and for those that change policies: no reader keeps them waiting
	one      *turns        // a person's requests that read much
	change   *turns        // and those that change policies
	large    *turns        // of one client for a whole file or list
	files    *files
	checks   *semaphore.Weighted
	own      *certificate
	measured *measured
}

// Bounds that hold for the whole server.
const (
	maxConnections = 20000
	maxHeader      = 16 << 10
	maxStreams     = 32 // of one connection
	heavyAtOnce    = 3
	installsAtOnce = 3
	largeAtOnce    = 2
	heavyWait      = 5 * time.Second // for a place
)

// New makes a server; Run or Handler use it.
func New(o Options) *Server {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Random == nil {
		o.Random = rand.Reader
	}
	if o.lineWithin == 0 {
		o.lineWithin = inTime
	}
	o.Lives = o.Lives.orDefaults()
	s := &Server{o: o, known: newKnown(o.Records, o.Authority), heavy: make(chan struct{}, heavyAtOnce), installs: make(chan struct{}, installsAtOnce),
		one: newTurns(1), change: newTurns(1), large: newTurns(largeAtOnce), files: newFiles(), checks: semaphore.NewWeighted(checksAtOnce), measured: newMeasured(o.Version)}
	s.limits = newLimits(o.Now)
	s.own = &certificate{server: s}
	s.mux = s.routes()
	return s
}

// Run answers on l, with TLS, until ctx ends, which is no error. Requests under way are finished within a few seconds.
func (s *Server) Run(ctx context.Context, l net.Listener) error {
	err := s.run(ctx, l)
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return nil // it was told to end while it began
	}
	return err
}

func (s *Server) run(ctx context.Context, l net.Listener) error {
	if err := s.own.begin(ctx); err != nil {
		_ = l.Close()
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	hs := &http.Server{
		Handler: s, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: maxHeader,
		TLSConfig: pki.ServerTLS(s.own.serve),
		HTTP2:     &http.HTTP2Config{MaxConcurrentStreams: maxStreams, SendPingTimeout: 15 * time.Second, PingTimeout: 10 * time.Second},
		ErrorLog:  slog.NewLogLogger(s.o.Log.Handler(), slog.LevelDebug),
		// A request does not outlive the server: held reports are answered, installs go on in the coordinator.
		BaseContext: func(net.Listener) context.Context { return ctx },
		ConnContext: withConnection,
	}
	defer s.own.end()
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return s.known.run(ctx) })
	g.Go(func() error { return s.tidy(ctx) })
	g.Go(func() error {
		err := hs.ServeTLS(limitConnections(l, maxConnections), "", "")
		if errors.Is(err, http.ErrServerClosed) {
			return nil
		}
		return err
	})
	g.Go(func() error {
		<-ctx.Done()
		within, cancel := context.WithTimeout(context.WithoutCancel(ctx), 3*time.Second)
		defer cancel()
		if err := hs.Shutdown(within); err != nil {
			return hs.Close()
		}
		return nil
	})
	return g.Wait()
}
