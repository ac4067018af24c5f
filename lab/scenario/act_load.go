// SPDX-License-Identifier: Apache-2.0

package scenario

import (
	"context"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/holdfast-project/holdfast/lab/fault"
	"github.com/holdfast-project/holdfast/lab/report"
	"github.com/holdfast-project/holdfast/lab/topology"
)

// Of a flood: how many different frames of garbage, and how many recorded ones, in which time.
const (
	garbageFrames  = 4096
	recordedFrames = 500
	recordFor      = 2 * time.Second
	clusterNumber  = 7 // that members.Options has by default
)

type flood struct {
	segment, kind string
	rate          int
}

func (a flood) run(ctx context.Context, r *runner) error {
	if _, running := r.floods[a.segment]; running {
		return fmt.Errorf("segment %s is flooded already", a.segment)
	}
	from, err := r.flooder(a.segment)
	if err != nil {
		return err
	}
	var frames [][]byte
	if a.kind == "garbage" {
		frames = fault.Garbage(garbageFrames, clusterNumber, from.MAC, 1)
	} else {
		recording, cancel := context.WithTimeout(ctx, recordFor)
		defer cancel()
		if frames, err = fault.Record(recording, r.lab, a.segment, recordedFrames, from.MAC); err != nil {
			return err
		}
	}
	n, err := r.lab.Node(from.Node)
	if err != nil {
		return err
	}
	r.harm(from.Node, "flood of %d frames of %s a second on %s", a.rate, a.kind, a.segment)
	f, err := fault.StartFlood(n.NS, from.Device, frames, a.rate)
	if err == nil {
		r.floods[a.segment] = f
	}
	return err
}

// flooder is the station that floods a segment: its watcher, else any that is no member. Its source address is one that
// nobody sends to.
func (r *runner) flooder(segment string) (topology.Port, error) {
	var found *topology.Port
	for _, p := range r.lab.PortsOn(segment) {
		n, err := r.lab.Node(p.Node)
		if err == nil && (n.Kind == topology.Watcher || found == nil && n.Kind != topology.Member) {
			found = p
		}
	}
	if found == nil {
		return topology.Port{}, fmt.Errorf("no station on segment %s that could flood it: only members are there", segment)
	}
	p := *found
	p.MAC = net.HardwareAddr{0x02, 0x4c, 0xff, 0, 0, byte(p.Slot)}
	return p, nil
}

type floodStop struct{ segment string }

func (a floodStop) run(_ context.Context, r *runner) error {
	if _, running := r.floods[a.segment]; !running {
		return fmt.Errorf("segment %s is not flooded", a.segment)
	}
	return r.stopFlood(a.segment)
}

func (r *runner) stopFlood(segment string) error {
	sent, took, err := r.floods[segment].Stop()
	delete(r.floods, segment)
	r.heal("", "flood on %s ended: %d frames in %s, %.0f a second", segment, sent, report.Ms(took), float64(sent)/took.Seconds())
	return err
}

type stress struct{ args []string }

func (a stress) run(_ context.Context, r *runner) (err error) {
	if r.stressing != nil {
		return fmt.Errorf("stress runs already")
	}
	r.harm("", "stress-ng %s", strings.Join(a.args, " "))
	r.stressing, err = fault.StartStress(r.lab, a.args...)
	return err
}

type stressStop struct{}

func (stressStop) run(_ context.Context, r *runner) error {
	if r.stressing == nil {
		return fmt.Errorf("no stress runs")
	}
	return r.stopStress()
}

func (r *runner) stopStress() error {
	if r.stressing == nil {
		return nil
	}
	r.heal("", "stress ends")
	err := r.stressing.Stop()
	r.stressing = nil
	return err
}

type clockStep struct{ by time.Duration }

func (a clockStep) run(_ context.Context, r *runner) error {
	if !r.opts.AllowClockStep {
		return fault.ErrClockForbidden
	}
	r.harm("", "wall clock of the whole host moved by %v", a.by)
	if err := fault.StepClock(a.by); err != nil {
		return err
	}
	r.stepped += a.by
	return nil
}

// restoreClock takes back what clock steps did.
func (r *runner) restoreClock() error {
	if r.stepped == 0 {
		return nil
	}
	err := fault.StepClock(-r.stepped)
	r.stepped = 0
	return err
}
