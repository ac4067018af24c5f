// SPDX-License-Identifier: Apache-2.0

package scenario

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/holdfast-project/holdfast/ccp"
	"github.com/holdfast-project/holdfast/lab/fault"
)

type cable struct {
	node, segment string
	end           fault.End
	in            bool
}

func (a cable) run(_ context.Context, r *runner) error {
	return r.eachSegment(a.node, a.segment, func(segment string) error {
		if a.in {
			r.heal(a.node, "cable %s back in at the %s", segment, a.end)
			return r.faults.Plug(a.node, segment, a.end)
		}
		r.harm(a.node, "cable %s out at the %s", segment, a.end)
		return r.faults.Unplug(a.node, segment, a.end)
	})
}

// eachSegment calls fn for a segment, or for all that the node is on.
func (r *runner) eachSegment(node, segment string, fn func(string) error) error {
	if segment != "all" {
		return fn(segment)
	}
	n, err := r.lab.Node(node)
	if err != nil {
		return err
	}
	var errs []error
	for _, p := range n.Ports {
		errs = append(errs, fn(p.Segment))
	}
	return errors.Join(errs...)
}

type switchPower struct {
	segment string
	stagger time.Duration
	up      bool
}

func (a switchPower) run(ctx context.Context, r *runner) error {
	for _, g := range r.lab.Spec.Segments {
		if a.segment != "all" && a.segment != g.Name {
			continue
		}
		var err error
		if a.up {
			r.heal("switch "+g.Name, "all ports up")
			err = r.faults.SwitchUp(ctx, g.Name, a.stagger)
		} else {
			r.harm("switch "+g.Name, "all ports down")
			err = r.faults.SwitchDown(ctx, g.Name, a.stagger)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

type drop struct {
	node, segment string
	direction     fault.Direction
	probability   float64
	etherType     uint16
	frames        ccp.Type // 0: all
}

func (a drop) run(_ context.Context, r *runner) error {
	what := "frames"
	if a.etherType != 0 {
		what = fmt.Sprintf("frames of type %#x", a.etherType)
	}
	if err := r.faults.Prepare(a.node); err != nil {
		return err
	}
	if a.frames != 0 {
		what = fmt.Sprintf("%s frames", a.frames)
	}
	if a.probability > 0 {
		r.harm(a.node, "%.0f%% of %s %s it lost on %s", a.probability*100, what, a.direction, a.segment)
	} else {
		r.heal(a.node, "nothing is lost any more on %s", a.segment)
	}
	return r.eachSegment(a.node, a.segment, func(segment string) error {
		return r.faults.Drop(a.node, segment, a.direction, fault.Loss{
			Probability: a.probability, EtherType: a.etherType, FrameType: uint8(a.frames),
		})
	})
}

type duplicate struct {
	node, segment string
	direction     fault.Direction
	probability   float64
}

func (a duplicate) run(_ context.Context, r *runner) error {
	if err := r.faults.Prepare(a.node); err != nil {
		return err
	}
	r.harm(a.node, "%.0f%% of frames %s it doubled on %s", a.probability*100, a.direction, a.segment)
	return r.eachSegment(a.node, a.segment, func(segment string) error {
		return r.faults.Duplicate(a.node, segment, a.direction, a.probability)
	})
}

type splitUp struct {
	segment string
	groups  [][]string
}

func (a splitUp) run(_ context.Context, r *runner) error {
	var sides []string
	for _, g := range a.groups {
		if err := r.faults.Prepare(g...); err != nil {
			return err
		}
		sides = append(sides, strings.Join(g, ","))
	}
	r.harm("", "split of %s: %s", a.segment, strings.Join(sides, " | "))
	for _, g := range r.lab.Spec.Segments {
		if a.segment != "all" && a.segment != g.Name {
			continue
		}
		var groups [][]string
		for _, names := range a.groups {
			var here []string
			for _, name := range names {
				n, err := r.lab.Node(name)
				if err != nil {
					return err
				}
				if _, err := n.Port(g.Name); err == nil || a.segment != "all" {
					here = append(here, name)
				}
			}
			groups = append(groups, here)
		}
		if err := r.faults.Split(g.Name, groups...); err != nil {
			return err
		}
	}
	return nil
}

type join struct{ segment string }

func (a join) run(_ context.Context, r *runner) error {
	r.heal("", "%s whole again", a.segment)
	for _, g := range r.lab.Spec.Segments {
		if a.segment != "all" && a.segment != g.Name {
			continue
		}
		if err := r.faults.Join(g.Name); err != nil {
			return err
		}
	}
	return nil
}
