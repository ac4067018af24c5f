// SPDX-License-Identifier: Apache-2.0

package machine

import (
	"context"
	"time"

	"github.com/holdfast-project/holdfast/lab/topology"
)

// Part is a part of a member's cluster software that can be killed or stopped by itself.
type Part string

// The parts. Software that is a single process has AllParts only and takes the others for it.
const (
	AllParts Part = "all"
	MainPart Part = "main"  // the daemon
	Pulse    Part = "pulse" // its real-time process
)

// Change is a member's change of state as its cluster software tells it.
type Change struct {
	At       time.Time // when it was learnt, with a monotonic reading
	Member   string
	From, To string // states in upper case; From may be "" when unknown
	Reason   string
}

// System is cluster software on the members of a topology: what scenarios and benchmarks drive. The benchmark's rivals are
// Systems too. Methods that name a member fail for names that are none.
type System interface {
	// Name is the system's name in reports: holdfast, holdfast-fast, keepalived-10ms, ...
	Name() string
	// Lab is the topology that the system runs on.
	Lab() *topology.Lab
	// Machine returns the member's machine.
	Machine(member string) (*Machine, error)
	// Boot switches all members on that are off, at the same time, and starts the software on them.
	Boot(ctx context.Context) error
	// Serving lists the members that say of themselves that they serve.
	Serving(ctx context.Context) []string
	// PowerOff takes a member's power away; PowerOn boots it and starts its software.
	PowerOff(member string) error
	PowerOn(ctx context.Context, member string) error
	// Kill kills (SIGKILL), Stop and Continue stop (SIGSTOP) and continue (SIGCONT) a part of a member's software. Nobody
	// restarts what was killed, until Start.
	Kill(member string, part Part) error
	Stop(member string, part Part) error
	Continue(member string, part Part) error
	// Start starts a member's software that was killed or ended.
	Start(ctx context.Context, member string) error
	// Restart ends a member's software as its service manager does for a restart, and starts it again.
	Restart(ctx context.Context, member string) error
	// Handover moves the service to a member gracefully.
	Handover(ctx context.Context, to string) error
	// Watch calls fn with every change of a member's state from now on, until ctx ends. fn must be safe for concurrent use.
	Watch(ctx context.Context, fn func(Change))
	// Close ends everything on the members.
	Close() error
}
