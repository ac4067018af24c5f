// SPDX-License-Identifier: Apache-2.0

package churn

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sort"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/holdfast-project/holdfast/lab/churn/bpf"
	"github.com/holdfast-project/holdfast/lab/topology"
)

// Of the pace.
const (
	// tick is how often the run looks what is due.
	tick = time.Millisecond
	// maxBehind is how much of a stall is made up for; what is older is skipped.
	maxBehind = 50 * time.Millisecond
	// settle is how long after the last packet its answers may still come.
	settle = 200 * time.Millisecond
)

// Report is what became of a run so far.
type Report struct {
	// Opened is how many connections were opened; Refused of them the client's own stack did not send.
	Opened  int `json:"opened"`
	Refused int `json:"refused"`
	// Skipped is how many were left out because the client was late by more than 50 ms.
	Skipped int `json:"skipped"`
	// Arrived is how many packets of connections the server got (TCP: of the later ones too), Answered how many connections the
	// client got an answer for, Closed how many TCP connections it closed in order, Reset how many RSTs came to either.
	Arrived  uint64 `json:"arrived"`
	Answered uint64 `json:"answered"`
	Closed   uint64 `json:"closed"`
	Reset    uint64 `json:"reset"`
	// Took is the time from the first to the last connection.
	Took time.Duration `json:"took_ns"`
}

// Rate is in connections per second.
func (r Report) Rate() float64 {
	if r.Took <= 0 {
		return 0
	}
	return float64(r.Opened) / r.Took.Seconds()
}

// sentUpTo says that at a time all connections below a number had been sent.
type sentUpTo struct {
	at  time.Time
	end int
}

// Run is a running churn. Its methods are safe for concurrent use.
type Run struct {
	cfg            Config
	client, server *bpf.End
	send           *sender
	start          time.Time
	stop           context.CancelFunc
	task           errgroup.Group
	done           chan struct{}

	mu  sync.Mutex
	rep Report
	log []sentUpTo
}

// Start begins to open connections. The run goes on until Config.Count, Stop, or the end of ctx; Stop must be called in any case.
func Start(ctx context.Context, cfg Config) (*Run, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	r := &Run{cfg: cfg, done: make(chan struct{})}
	if err := r.open(); err != nil {
		return nil, errors.Join(err, r.close())
	}
	ctx, r.stop = context.WithCancel(ctx)
	r.start = time.Now()
	r.task.Go(func() error {
		defer close(r.done)
		return r.pace(ctx)
	})
	return r, nil
}

func (r *Run) open() (err error) {
	s := bpf.Settings{Answer: r.cfg.Answer, Close: r.cfg.Close, FirstPort: r.cfg.FirstPort, LastPort: r.cfg.FirstPort + maxServerPorts - 1}
	if r.client, err = attach(r.cfg.Client, s); err != nil {
		return err
	}
	s.Server = true
	if r.server, err = attach(r.cfg.Server, s); err != nil {
		return err
	}
	r.send, err = openSender(r.cfg.Client, r.cfg.To, newMaker(r.cfg))
	return err
}

func attach(n *topology.Node, s bpf.Settings) (end *bpf.End, err error) {
	index := 0
	err = n.NS.Do(func() error {
		ifi, err := net.InterfaceByName(n.Ports[0].Device)
		if err == nil {
			index = ifi.Index
		}
		return err
	})
	if err == nil {
		end, err = bpf.Attach(n.NS, index, s)
	}
	if err != nil {
		return nil, fmt.Errorf("churn: %s: %w", n.Name, err)
	}
	return end, nil
}

// pace sends what is due until everything is sent or ctx ends.
func (r *Run) pace(ctx context.Context) error {
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	next, skipped := 0, 0
	for next < r.cfg.Count {
		due := r.cfg.Count
		if r.cfg.Rate > 0 {
			due = int(time.Since(r.start).Seconds()*float64(r.cfg.Rate)) - skipped
			if late := due - next - int(maxBehind.Seconds()*float64(r.cfg.Rate)); late > 0 {
				skipped += late
				due -= late
			}
			due = min(due, r.cfg.Count)
		}
		for next < due && ctx.Err() == nil {
			sent, refused, err := r.send.send(next, min(batch, due-next))
			if err != nil {
				return err
			}
			next += sent
			r.note(next, refused, skipped)
		}
		if r.cfg.Rate == 0 && ctx.Err() == nil {
			continue
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
	return nil
}

func (r *Run) note(end, refused, skipped int) {
	now := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.rep.Opened, r.rep.Skipped, r.rep.Took = end, skipped, now.Sub(r.start)
	r.rep.Refused += refused
	r.log = append(r.log, sentUpTo{now, end})
}

// Done is closed when the last connection has been opened.
func (r *Run) Done() <-chan struct{} { return r.done }

// Flow returns the tuple of connection n.
func (r *Run) Flow(n int) Flow { return r.cfg.flow(n) }

// Opened returns which connections were opened from from until to: first to end-1. A connection counts as opened when the system
// call that sent it (and up to 63 others) returned.
func (r *Run) Opened(from, to time.Time) (first, end int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	before := func(at time.Time) int {
		i := sort.Search(len(r.log), func(i int) bool { return !r.log[i].at.Before(at) })
		if i == 0 {
			return 0
		}
		return r.log[i-1].end
	}
	return before(from), before(to)
}

// Report returns what became of the run so far.
func (r *Run) Report() (Report, error) {
	client, err := r.client.Counts()
	if err != nil {
		return Report{}, err
	}
	server, err := r.server.Counts()
	if err != nil {
		return Report{}, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	rep := r.rep
	rep.Arrived, rep.Answered, rep.Closed, rep.Reset = server.Taken, client.Answered, client.Closed, client.Reset+server.Reset
	return rep, nil
}

// Stop ends the run, waits for the last answers, and returns what became of it. It must be called once.
func (r *Run) Stop() (Report, error) {
	r.stop()
	err := r.task.Wait()
	<-time.After(settle)
	rep, reportErr := r.Report()
	return rep, errors.Join(err, reportErr, r.close())
}

func (r *Run) close() error {
	var errs []error
	for _, e := range []*bpf.End{r.client, r.server} {
		if e != nil {
			errs = append(errs, e.Close())
		}
	}
	if r.send != nil {
		r.send.close()
	}
	return errors.Join(errs...)
}
