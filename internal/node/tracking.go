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

// hooks tells which connections are tracked, and which may be translated as they begin.
type hooks interface {
	Hooked() (tracked, translated bpf.Families, err error)
	Close() error
}

// tracking looks once a second whether the kernel still tracks connections, beside the loop: it ends with the last rule that needs it, nobody
// is told, and packets of connections that are translated go nowhere from then on. Only what was there once can be missing. It looks as well
// whether there are rules that translate.
type tracking struct {
	open  func() (hooks, error)
	log   *slog.Logger
	lasts time.Duration // untrackedFor, but in tests
	ask   chan bool     // whether it matters that tracking ends
	found chan trackingNews
	is    trackingNews // as found last; the loop's
}

// trackingNews is what was found.
type trackingNews struct {
	lost       string       // why connections are tracked no more, "" if they are, or it does not matter
	translated bpf.Families // that may be as they begin; what is not known may be
}

// bothFamilies are IPv4 and IPv6.
var bothFamilies = bpf.Families{Four: true, Six: true}

func newTracking(log *slog.Logger) tracking {
	return tracking{open: openHooks, log: log, lasts: untrackedFor, ask: make(chan bool, 1), found: make(chan trackingNews), is: trackingNews{translated: bothFamilies}}
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
	l := trackingLook{said: trackingNews{translated: bothFamilies}}
	defer l.close()
	for {
		var matters bool
		select {
		case <-ctx.Done():
			return nil
		case matters = <-t.ask:
		}
		news := t.look(ctx, &l, matters)
		if news == l.said {
			continue
		}
		l.said = news
		select {
		case <-ctx.Done():
			return nil
		case t.found <- news:
		}
	}
}

// trackingLook is what serve remembers from one look to the next.
type trackingLook struct {
	hooks hooks        // nil: none could be had yet
	blind bool         // none can be had
	seen  bpf.Families // of which connections were tracked at some time
	said  trackingNews
}

func (l *trackingLook) close() {
	if l.hooks != nil {
		_ = l.hooks.Close()
	}
}

// look says what is not tracked any more and stays so, if that matters, and what may be translated. A kernel that does not answer has not said
// that it tracks nothing, nor that it translates nothing.
func (t *tracking) look(ctx context.Context, l *trackingLook, matters bool) trackingNews {
	news := trackingNews{lost: l.said.lost, translated: bothFamilies}
	if !matters {
		l.seen, news.lost = bpf.Families{}, ""
	}
	if l.hooks == nil && !l.blind {
		var err error
		if l.hooks, err = t.open(); err != nil {
			t.log.Warn("whether connections are tracked cannot be found out on this kernel, nor that it ends", "error", err)
			l.hooks, l.blind = nil, true
		}
	}
	if l.hooks == nil {
		return news
	}
	tracked, translated, err := l.hooks.Hooked()
	if err != nil {
		return news
	}
	news.translated = translated
	if !matters {
		return news
	}
	if why := l.lost(tracked); why == "" || why == news.lost {
		news.lost = why
		return news
	}
	select {
	case <-ctx.Done():
		return news
	case <-time.After(t.lasts):
	}
	if tracked, _, err = l.hooks.Hooked(); err == nil {
		news.lost = l.lost(tracked)
	}
	return news
}

// lost says in words what is not tracked any more.
func (l *trackingLook) lost(now bpf.Families) string {
	var gone []string
	if l.seen.Four && !now.Four {
		gone = append(gone, "IPv4")
	}
	if l.seen.Six && !now.Six {
		gone = append(gone, "IPv6")
	}
	l.seen.Four, l.seen.Six = l.seen.Four || now.Four, l.seen.Six || now.Six
	if len(gone) == 0 {
		return ""
	}
	return strings.Join(gone, " and ") + " connections are not tracked any more: no rule needs it; load the ruleset again, or, if that is meant, holdfast restart"
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
func (n *node) trackingFound(news trackingNews) {
	before := n.tracking.is
	n.tracking.is = news
	n.shareLooksUp()
	if news.lost == before.lost {
		return
	}
	e := members.Device{Op: members.DeviceRegister, Name: device.FullSync, Reporter: trackingReporter, Status: device.Problem, Reason: news.lost}
	if news.lost == "" {
		e = members.Device{Op: members.DeviceUnregister, Name: device.FullSync, Reporter: trackingReporter}
		n.log.Info("connections are tracked again")
	} else {
		n.log.Error("connection tracking has stopped", "reason", news.lost)
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
