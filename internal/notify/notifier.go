// SPDX-License-Identifier: Apache-2.0

package notify

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/holdfast-project/holdfast/internal/control"
)

// Options say who tells, and where this package keeps what must survive a restart.
type Options struct {
	Cluster, Member string
	Dir             string // state directory, for the SNMPv3 engine's boots
	Log             *slog.Logger
}

// Report says that a receiver fails, or is well again. Each is said once.
type Report struct {
	Sink    string
	Failed  bool
	Reason  string
	Dropped uint64 // since it failed
}

// Counters are one receiver's, since it was configured.
type Counters struct {
	Sink                  string
	Sent, Dropped, Failed uint64 // handed over; not queued; attempts that failed
}

// Notifier tells receivers of events. It is safe for concurrent use.
type Notifier struct {
	o       Options
	origin  origin
	engine  *engine
	reports chan Report
	changed chan struct{} // wakes Serve after Configure
	// Pauses, shorter in tests.
	backoff, settle, drain, confirm time.Duration

	mu    sync.Mutex
	sinks []*sink
}

// New returns a notifier without receivers.
func New(o Options) *Notifier {
	host, err := os.Hostname()
	if err != nil {
		host = o.Member
	}
	return &Notifier{
		o: o, origin: origin{cluster: o.Cluster, member: o.Member, host: host, pid: os.Getpid()},
		engine:  newEngine(filepath.Join(o.Dir, "snmp-engine.json"), EngineID(o.Cluster, o.Member), o.Log),
		reports: make(chan Report, 16), changed: make(chan struct{}, 1),
		backoff: time.Second, settle: 10 * time.Second, drain: 500 * time.Millisecond, confirm: confirmTimeout,
	}
}

// Configure replaces the receivers. Those whose name stays keep their counters and what is queued for them, even if the rest of their Spec changes.
func (n *Notifier) Configure(specs []Spec) {
	n.mu.Lock()
	defer n.mu.Unlock()
	next := make([]*sink, 0, len(specs))
	for _, spec := range specs {
		if i := slices.IndexFunc(n.sinks, func(s *sink) bool { return s.name == spec.Name }); i >= 0 {
			n.sinks[i].change(spec)
			next = append(next, n.sinks[i])
			continue
		}
		next = append(next, newSink(n, spec))
	}
	n.sinks = next
	if slices.ContainsFunc(specs, func(s Spec) bool { return s.Kind == SNMP && s.Manager.Version == "3" }) {
		n.o.Log.Info("SNMP engine of this member, which managers of version 3 must know for traps", "id", n.engine.hex())
	}
	select {
	case n.changed <- struct{}{}:
	default:
	}
}

// Notify tells every receiver that wants events of this severity, but not the one called except (it is what the event is about). It never
// waits.
func (n *Notifier) Notify(e control.Event, except string) {
	m := &message{e, n.origin}
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, s := range n.sinks {
		if s.name == except || SeverityOf(e.Severity) < s.spec.Severity {
			continue
		}
		select {
		case s.queue <- m:
		default:
			s.dropped.Add(1)
		}
	}
}

// Journaled reports whether events go to the journal.
func (n *Notifier) Journaled() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.ContainsFunc(n.sinks, func(s *sink) bool { return s.spec.Kind == Journald && s.spec.Severity == Info })
}

// Reports tells of receivers that fail, and of their recovery. It must be read while Serve runs.
func (n *Notifier) Reports() <-chan Report { return n.reports }

// Counters returns the receivers' counters in the order of the configuration.
func (n *Notifier) Counters() []Counters {
	n.mu.Lock()
	defer n.mu.Unlock()
	all := make([]Counters, len(n.sinks))
	for i, s := range n.sinks {
		all[i] = Counters{s.name, s.sent.Load(), s.dropped.Load(), s.failed.Load()}
	}
	return all
}

// Serve runs the receivers until ctx ends; then what is queued gets half a second to leave.
func (n *Notifier) Serve(ctx context.Context) error {
	var tasks sync.WaitGroup
	defer tasks.Wait()
	running := map[*sink]context.CancelFunc{}
	for {
		n.mu.Lock()
		wanted := slices.Clone(n.sinks)
		n.mu.Unlock()
		for s, stop := range running {
			if !slices.Contains(wanted, s) {
				stop()
				delete(running, s)
			}
		}
		for _, s := range wanted {
			if running[s] != nil {
				continue
			}
			own, stop := context.WithCancel(ctx)
			running[s] = stop
			tasks.Go(func() { s.run(own) })
		}
		select {
		case <-ctx.Done():
			for _, stop := range running {
				stop()
			}
			return nil
		case <-n.changed:
		}
	}
}
