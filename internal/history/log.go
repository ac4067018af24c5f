// SPDX-License-Identifier: Apache-2.0

package history

import (
	"log/slog"
	"path/filepath"
	"sync"
	"time"

	"github.com/holdfast-project/holdfast/internal/control"
)

// Bounds of what is kept.
const (
	KeepFailovers = 1000
	KeepChanges   = 5000
)

// slack is how many lines more than is kept the file may have before it is written anew.
const slack = 1000

// maxPending bounds what waits for the disk. Beyond it the file is written anew as a whole, from memory, when the disk is back:
// nothing is lost.
const maxPending = 1024

// Why the counter began to count.
const (
	// WhyBoot says that this machine has been booted: no hand-over from before counts.
	WhyBoot = "boot"
	// WhyReset says that the operator set it back.
	WhyReset = "reset"
)

// Counter is the failover counter.
type Counter struct {
	Count  uint64    `json:"count"`            // since Since
	Since  time.Time `json:"since"`            // start of counting
	Why    string    `json:"why"`              // WhyBoot or WhyReset
	Number uint64    `json:"number"`           // of the last hand-over ever; never set back
	Server string    `json:"server,omitempty"` // the member that served after the last hand-over
	BootID string    `json:"boot"`             // the boot of this machine that Count belongs to
}

// Options say where the history is and where it comes from.
type Options struct {
	Dir string // holds history.jsonl
	// BootID tells one boot of the machine from another, Booted is when it was. A counter of another boot starts again.
	BootID string
	Booted time.Time
	Log    *slog.Logger
}

// Log is the history. It is safe for concurrent use; nothing but Serve and Close waits for the disk.
type Log struct {
	o    Options
	path string

	mu        sync.Mutex
	counter   Counter
	failovers ring[control.Failover]
	changes   ring[control.Event]
	pending   []line // not on disk yet, in order
	rewrite   bool   // the file is to be written anew as a whole; pending is then part of it
	wake      chan struct{}
	reports   chan Report

	disk disk // the writer's own: Serve, then Close
}

// Report says that the disk has refused the history, or takes it again.
type Report struct {
	Failed bool
	Reason string
}

// Open reads dir/history.jsonl. It never fails: what cannot be read is said in the log, and is not part of the history.
func Open(o Options) *Log {
	l := &Log{
		o: o, path: filepath.Join(o.Dir, "history.jsonl"),
		failovers: newRing[control.Failover](KeepFailovers), changes: newRing[control.Event](KeepChanges),
		wake: make(chan struct{}, 1), reports: make(chan Report, 4),
	}
	l.read()
	if l.counter.Why == "" || l.counter.BootID != o.BootID {
		l.counter.Count, l.counter.Since, l.counter.Why, l.counter.BootID = 0, o.Booted, WhyBoot, o.BootID
		l.add(line{Counter: new(l.counter)})
	}
	return l
}

// Failover adds a hand-over and returns it with its number.
func (l *Log) Failover(f control.Failover) control.Failover {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.counter.Number++
	l.counter.Count++
	l.counter.Server = f.To
	f.Number = l.counter.Number
	l.failovers.put(f)
	l.add(line{Failover: &f})
	return f
}

// Change adds a change of a member's state. Its Seq, which counts within one run of the daemon only, is not kept.
func (l *Log) Change(e control.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e.Seq = 0
	l.changes.put(e)
	l.add(line{Change: &e})
}

// Reset sets the counter back, or forgets the past, or both. Numbers go on.
func (l *Log) Reset(counter, past bool, at time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	r := Reset{Counter: counter, History: past, Time: at}
	l.reset(r)
	l.add(line{Reset: &r})
	if past { // what is forgotten is not to stay on disk
		l.rewriteAll()
	}
}

func (l *Log) reset(r Reset) {
	if r.Counter {
		l.counter.Count, l.counter.Since, l.counter.Why = 0, r.Time, WhyReset
	}
	if r.History {
		l.failovers.clear()
		l.changes.clear()
	}
}

// Failovers returns the kept hand-overs, oldest first.
func (l *Log) Failovers() []control.Failover {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.failovers.list()
}

// LastFailover returns the newest hand-over, nil without one.
func (l *Log) LastFailover() *control.Failover {
	l.mu.Lock()
	defer l.mu.Unlock()
	if f, ok := l.failovers.last(); ok {
		return &f
	}
	return nil
}

// Changes returns the kept changes of state, oldest first.
func (l *Log) Changes() []control.Event {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.changes.list()
}

// Counter returns the failover counter.
func (l *Log) Counter() Counter {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.counter
}

// Reports tells of a disk that refuses the history, once, and once when it takes it again. A reader that does not read misses some.
func (l *Log) Reports() <-chan Report { return l.reports }

// add queues a line for the writer. The caller holds mu.
func (l *Log) add(ln line) {
	switch {
	case l.rewrite: // it is in memory, and so in what will be written
	case len(l.pending) >= maxPending:
		l.rewriteAll()
	default:
		l.pending = append(l.pending, ln)
	}
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

func (l *Log) rewriteAll() { l.rewrite, l.pending = true, nil }
