// SPDX-License-Identifier: Apache-2.0

package pulse

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/holdfast-project/holdfast/ccp"
)

// Pulse is main's handle on the pulse process. Its methods are safe for concurrent use and never block on the child.
type Pulse struct{}

// YieldRequest asks a peer's gate to close. MinAge applies to courtesies only (milliseconds on the wire).
type YieldRequest struct {
	Target, Group uint8
	Term          uint32
	Kind          ccp.YieldKind
	MinAge        time.Duration
}

// Start runs `exe pulse` in the calling thread's namespaces and waits until it has opened the gate's words and begun to probe.
func Start(ctx context.Context, exe string, cfg Config, log *slog.Logger) (*Pulse, error) {
	return nil, errors.ErrUnsupported
}

// Events returns the channel of events. It closes after Died, or when Close has ended the child.
func (p *Pulse) Events() <-chan Event { return nil }

// Reconfigure replaces the configuration. Peers and interfaces that stay keep their state; leases go on.
func (p *Pulse) Reconfigure(cfg Config) error { return errors.ErrUnsupported }

// Word says that main's loop lives. Leases are renewed only while the last Word is younger than WordMax.
func (p *Pulse) Word() {}

// Lease has the group's lease renewed under the term from now on. alone marks the member as alone. GateChanged answers.
func (p *Pulse) Lease(group uint8, term uint32, alone bool) error { return errors.ErrUnsupported }

// Drop ends the group's lease: the gate closes (or lingers). GateChanged answers.
func (p *Pulse) Drop(group uint8) error { return errors.ErrUnsupported }

// Yield sends a YIELD on every interface. A YieldReply comes for each that is answered.
func (p *Pulse) Yield(r YieldRequest) error { return errors.ErrUnsupported }

// Query probes all peers on all interfaces now; each answer is handed on at once, as Heard with Query set.
func (p *Pulse) Query() error { return errors.ErrUnsupported }

// Close ends the child without touching the gate's words, and returns when it is reaped.
func (p *Pulse) Close() error { return errors.ErrUnsupported }
