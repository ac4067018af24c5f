// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/holdfast-project/holdfast/bpf"
	"github.com/holdfast-project/holdfast/internal/statesync"
	"github.com/holdfast-project/holdfast/members"
	"github.com/holdfast-project/holdfast/members/device"
)

// trackingReporter is who reports the device full-sync beside the machine. No monitor can have a name with a space.
const trackingReporter = "connection tracking"

// untrackedFor is how long connections must have been untracked: a ruleset that is loaded in two steps leaves the kernel without any in between.
const untrackedFor = 500 * time.Millisecond

// hooks tells whether connections are tracked.
type hooks interface {
	Hooked() (four, six bool, err error)
	Close() error
}

// tracking looks once a second whether the kernel still tracks connections, beside the loop: it ends with the last rule that needs it, nobody
// is told, and packets of connections that are translated go nowhere from then on. Only what was there once can be missing.
type tracking struct {
	open  func() (hooks, error)
	log   *slog.Logger
	lasts time.Duration // untrackedFor, but in tests
	ask   chan bool     // whether it matters
	found chan string
	lost  string // as found last: why, "" if nothing is; the loop's
}

func newTracking(log *slog.Logger) tracking {
	return tracking{open: openHooks, log: log, lasts: untrackedFor, ask: make(chan bool, 1), found: make(chan string)}
}

// openHooks returns nil while the kernel tracks nothing anywhere.
func openHooks() (hooks, error) {
	if _, err := os.Stat("/proc/sys/net/netfilter/nf_conntrack_max"); err != nil {
		return nil, nil //nolint:nilnil,nilerr // there is nothing to look at yet, which is no error
	}
	return bpf.OpenTracking()
}

// serve looks whenever it is asked to, until ctx ends, and tells what is other than before.
func (t *tracking) serve(ctx context.Context) error {
	var l trackingLook
	defer l.close()
	for {
		var matters bool
		select {
		case <-ctx.Done():
			return nil
		case matters = <-t.ask:
		}
		why, known := "", true
		if matters {
			why, known = t.look(ctx, &l)
		} else {
			l.seen = families{}
		}
		if !known || why == l.said {
			continue
		}
		l.said = why
		select {
		case <-ctx.Done():
			return nil
		case t.found <- why:
		}
	}
}

// trackingLook is what serve remembers from one look to the next.
type trackingLook struct {
	hooks hooks // nil: none could be had yet
	blind bool  // none can be had
	seen  families
	said  string
}

func (l *trackingLook) close() {
	if l.hooks != nil {
		_ = l.hooks.Close()
	}
}

// look says what is not tracked any more and stays so, and whether that is known: a kernel that does not answer has not said no.
func (t *tracking) look(ctx context.Context, l *trackingLook) (why string, known bool) {
	if l.hooks == nil && !l.blind {
		var err error
		if l.hooks, err = t.open(); err != nil {
			t.log.Warn("whether connections are tracked cannot be found out on this kernel, nor that it ends", "error", err)
			l.hooks, l.blind = nil, true
		}
	}
	if l.hooks == nil {
		return "", false
	}
	if why, known = l.seen.lost(l.hooks); !known || why == "" || why == l.said {
		return why, known
	}
	select {
	case <-ctx.Done():
		return "", false
	case <-time.After(t.lasts):
	}
	return l.seen.lost(l.hooks)
}

// families are those of which connections were tracked at some time.
type families struct{ four, six bool }

// lost says in words what is not tracked any more, and whether that is known.
func (f *families) lost(look hooks) (why string, known bool) {
	four, six, err := look.Hooked()
	if err != nil {
		return "", false
	}
	var gone []string
	if f.four && !four {
		gone = append(gone, "IPv4")
	}
	if f.six && !six {
		gone = append(gone, "IPv6")
	}
	f.four, f.six = f.four || four, f.six || six
	if len(gone) == 0 {
		return "", true
	}
	return strings.Join(gone, " and ") + " connections are not tracked any more: no rule needs it; load the ruleset again, or, if that is meant, holdfast restart", true
}

// askTracking has it looked at. Where Holdfast loads the ruleset it knows what that needs, and without state synchronisation it is nobody's loss
// that another member could spare.
func (n *node) askTracking() {
	select {
	case n.tracking.ask <- n.cfg.Sync.Enabled && n.cfg.Policy == nil:
	default: // it still looks
	}
}

// trackingFound takes what is other than before: a member that tracks nothing lets another take over, which may have its rules still.
func (n *node) trackingFound(why string) {
	n.tracking.lost = why
	e := members.Device{Op: members.DeviceRegister, Name: device.FullSync, Reporter: trackingReporter, Status: device.Problem, Reason: why}
	if why == "" {
		e = members.Device{Op: members.DeviceUnregister, Name: device.FullSync, Reporter: trackingReporter}
		n.log.Info("connections are tracked again")
	} else {
		n.log.Error("connection tracking has stopped", "reason", why)
	}
	n.step(e)
	n.syncChanged()
}

// untracked is a plane's state where connections are not tracked: there is nothing that could be told of new ones.
func untracked(s statesync.State, why string) statesync.State {
	if why == "" || s.Status == statesync.StatusOff {
		return s
	}
	if s.Reason != "" {
		why += "; " + s.Reason
	}
	s.Status, s.Reason = statesync.StatusAtRisk, why
	return s
}
