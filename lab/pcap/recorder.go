// SPDX-License-Identifier: Apache-2.0

package pcap

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/holdfast-project/holdfast/lab/tap"
)

// Defaults and limits of a recording.
const (
	defaultMaxBytes = 64 << 20
	defaultSnap     = 256
	// frameCost is what a frame costs beside its bytes, in memory and about as much in the file.
	frameCost = 64
	// readEvery is how often the taps are read; the times are the kernel's.
	readEvery = 10 * time.Millisecond
)

// Recorder is a running recording. Stop is not safe for concurrent use.
type Recorder struct {
	cfg    Config
	taps   []*tap.Tap
	frames ring
	missed uint
	stop   context.CancelFunc
	task   errgroup.Group
}

// Start begins to record. It runs until Stop or until ctx ends; Stop must be called in any case.
func Start(ctx context.Context, cfg Config) (*Recorder, error) {
	if cfg.MaxBytes == 0 {
		cfg.MaxBytes = defaultMaxBytes
	}
	if cfg.Snap == 0 {
		cfg.Snap = defaultSnap
	}
	if len(cfg.Ports) == 0 {
		return nil, fmt.Errorf("pcap: segment %s: no ports to record at", cfg.Segment)
	}
	r := &Recorder{cfg: cfg, frames: ring{limit: cfg.MaxBytes}}
	for _, p := range cfg.Ports {
		t, err := tap.Open(cfg.Switch, p.Interface, tap.Options{Incoming: true})
		if err != nil {
			r.close()
			return nil, fmt.Errorf("pcap: segment %s: %w", cfg.Segment, err)
		}
		r.taps = append(r.taps, t)
	}
	ctx, r.stop = context.WithCancel(ctx)
	r.task.Go(func() error { return tap.Follow(ctx, readEvery, r.read) })
	return r, nil
}

// read takes what waits at all ports.
func (r *Recorder) read() error {
	buf := make([]byte, r.cfg.Snap)
	for i, t := range r.taps {
		n, err := t.Drain(buf, func(f tap.Frame) {
			r.frames.add(frame{at: f.At, port: i, length: f.Length, data: append([]byte(nil), f.Data...)})
		})
		if err != nil {
			return fmt.Errorf("pcap: segment %s: %w", r.cfg.Segment, err)
		}
		r.missed += n
	}
	return nil
}

// Stop ends the recording and writes it to the file at path, which is replaced if it exists. An empty path writes nothing.
// What was recorded is written even if the recording had failed; the error says so.
func (r *Recorder) Stop(path string) (Stats, error) {
	r.stop()
	err := r.task.Wait()
	r.close()
	frames := r.frames.sorted()
	stats := Stats{Recorded: len(frames), Evicted: r.frames.evicted, Missed: r.missed}
	if path == "" {
		return stats, err
	}
	if werr := writeFile(path, r.cfg, frames, stats); werr != nil && err == nil {
		err = werr
	}
	return stats, err
}

func (r *Recorder) close() {
	for _, t := range r.taps {
		_ = t.Close() // nothing can be lost that way
	}
}
