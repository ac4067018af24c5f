// SPDX-License-Identifier: Apache-2.0

package pulse

import (
	"context"
	"errors"
	"log/slog"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast-project/holdfast/bpf"
	"github.com/holdfast-project/holdfast/ccp"
	"github.com/holdfast-project/holdfast/members/gate"
)

func TestPeersAreHeardAndMissed(t *testing.T) {
	a, b := newPair(t)
	a.start()
	// The peer has no pulse: its gate answers all the same.
	for slot := uint8(1); slot <= slots; slot++ {
		h := await(a, "heard", func(h Heard) bool { return h.Slot == slot })
		if h.Peer != 1 || h.Incarnation != 101 || h.RTT <= 0 || h.RTT > time.Second {
			t.Errorf("heard %+v", h)
		}
	}
	b.setUp(1, false)
	down := bpf.Boottime()
	a.seen = nil
	s := await(a, "silence on slot 1", func(s Silent) bool { return s.Slot == 1 })
	if s.Peer != 1 || s.At-s.Since < int64(a.config.Dead) || s.Since > down || s.At < down {
		t.Errorf("silent %+v; the link went down at %d", s, down)
	}
	missed := false
	for _, e := range a.seen {
		switch e := e.(type) {
		case Missed:
			missed = missed || e.Slot == 1 && e.Since == s.Since
		case Silent:
			if e.Slot != 1 {
				t.Errorf("silence on an interface that is well: %+v", e)
			}
		}
	}
	if !missed {
		t.Errorf("no Missed before Silent: %+v", a.seen)
	}
	b.setUp(1, true)
	await(a, "heard again", func(h Heard) bool { return h.Slot == 1 && h.At > s.At })
	if err := a.pulse.Query(); err != nil {
		t.Fatal(err)
	}
	q := await(a, "answer to a query", func(h Heard) bool { return h.Query })
	if q.Reply.Heard[0] > 250 || q.Reply.Heard[1] != 0 {
		t.Errorf("the peer heard us %d ms ago, itself %d", q.Reply.Heard[0], q.Reply.Heard[1])
	}
	st := await(a, "stats", func(s Stats) bool { return s.Ticks > 0 })
	if len(st.Links) != slots || st.Links[0].Answered == 0 || st.Links[0].RTT.Count != st.Links[0].Answered || !st.Realtime || !st.Locked {
		t.Errorf("stats %+v", st)
	}
}

func TestOwnInterfaceDownIsSilence(t *testing.T) {
	a, _ := newPair(t)
	a.start()
	await(a, "heard", func(h Heard) bool { return h.Slot == 2 })
	a.setUp(2, false)
	await(a, "notice", func(n Notice) bool { return n.Code == NoticeInterface && n.Slot == 2 })
	await(a, "silence", func(s Silent) bool { return s.Slot == 2 })
	a.setUp(2, true)
	await(a, "heard again", func(h Heard) bool { return h.Slot == 2 })
}

// An interface that is deleted and made again is another one; main says so.
func TestInterfaceMadeAnew(t *testing.T) {
	a, b := newPair(t)
	a.start()
	await(a, "heard", func(h Heard) bool { return h.Slot == 2 })
	h, err := a.ns.Handle()
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	if err := h.LinkDel(a.link(2)); err != nil {
		t.Fatal(err)
	}
	await(a, "silence", func(s Silent) bool { return s.Slot == 2 })
	plug(t, [2]*member{a, b}, 2)
	a.attach(2)
	b.attach(2)
	if err := a.pulse.Reconfigure(a.config); err != nil {
		t.Fatal(err)
	}
	await(a, "heard again", func(h Heard) bool { return h.Slot == 2 })
	c := a.config
	c.Self = 3
	if err := a.pulse.Reconfigure(c); !errors.Is(err, ErrFixed) {
		t.Errorf("another member number: %v", err)
	}
}

func TestLeaseFollowsMainsWord(t *testing.T) {
	a, b := newPair(t)
	a.start()
	b.start()
	stop := a.speak()
	a.grantOwn(1)
	if err := a.pulse.Lease(0, 1, false); err != nil {
		t.Fatal(err)
	}
	a.serving(1)
	// For longer than any expiry the lease is renewed and the peer sees it young.
	from := bpf.Boottime()
	await(b, "a second of serving", func(h Heard) bool {
		if h.Reply.Bits&ccp.BitAnswer != 0 && h.Reply.LeaseAgeMs > 900 {
			t.Errorf("the peer sees a lease of %d ms", h.Reply.LeaseAgeMs)
		}
		return h.Reply.Bits&ccp.BitAnswer != 0 && h.At > from+2*int64(hardExpiry)
	})
	stop()
	quiet := bpf.Boottime()
	a.pulse.Word() // the last one is not from before that
	// Watched, it goes on serving while the peer sees it age, until the hard expiry.
	aged := await(b, "an aging lease", func(h Heard) bool { return h.Reply.Bits&ccp.BitAnswer != 0 && h.Reply.LeaseAgeMs > 100 })
	if aged.At-quiet < int64(WordMax) {
		t.Errorf("the lease aged %d ms after the last word", (aged.At-quiet)/ms)
	}
	lost := await(a, "the loss", func(g GateChanged) bool { return g.Lost == LostExpired })
	if lost.Bits&ccp.BitAnswer != 0 || lost.Lease != 0 || lost.At-quiet < int64(WordMax) {
		t.Errorf("gate %+v, %d ms after the last word", lost, (lost.At-quiet)/ms)
	}
}

func TestYieldMovesTheLease(t *testing.T) {
	a, b := newPair(t)
	a.start()
	b.start()
	defer a.speak()()
	defer b.speak()()
	a.grantOwn(1)
	if err := a.pulse.Lease(0, 1, false); err != nil {
		t.Fatal(err)
	}
	a.serving(1)
	await(b, "the server", func(h Heard) bool { return h.Reply.Bits&ccp.BitAnswer != 0 && h.Reply.Term == 1 })
	for _, c := range []struct {
		kind ccp.YieldKind
		term uint32
		want ccp.Result
	}{
		{ccp.YieldCourtesy, 2, ccp.ResultTooYoung},
		{ccp.YieldClaim, 1, ccp.ResultRefused},
		{ccp.YieldGraceful, 2, ccp.ResultGranted},
		{ccp.YieldGraceful, 2, ccp.ResultGranted}, // the same asker, the same answer
	} {
		if err := b.pulse.Yield(YieldRequest{Target: 0, Term: c.term, Kind: c.kind, MinAge: 400 * time.Millisecond}); err != nil {
			t.Fatal(err)
		}
		for range slots {
			y := await(b, "reply", func(y YieldReply) bool { return true })
			if y.Peer != 0 || y.Kind != c.kind || y.Term != c.term || y.Reply.Result != c.want || y.Incarnation != 100 {
				t.Errorf("kind %d for term %d: %+v, want %v", c.kind, c.term, y, c.want)
			}
		}
	}
	lost := await(a, "the loss", func(g GateChanged) bool { return g.Lost == LostOvertaken })
	if lost.Bits&ccp.BitAnswer != 0 || lost.FenceTerm != 2 || lost.Grantee != 1 || lost.Lease != 0 {
		t.Errorf("gate %+v", lost)
	}
	b.grantOwn(2)
	if err := b.pulse.Lease(0, 2, false); err != nil {
		t.Fatal(err)
	}
	b.serving(2)
	// The loser asks for its old term: refused by its own fence.
	if err := a.pulse.Lease(0, 1, false); err != nil {
		t.Fatal(err)
	}
	await(a, "the refusal", func(g GateChanged) bool { return g.Lost == LostOvertaken && g.Leased == 0 })
}

// A pulse that dies is told, and the next one takes the lease over: at no moment is the gate closed.
func TestSuccessorAdoptsTheLease(t *testing.T) {
	a, b := newPair(t)
	a.start()
	b.start() // watches, so that a late lease serves
	stop := a.speak()
	a.grantOwn(1)
	if err := a.pulse.Lease(0, 1, false); err != nil {
		t.Fatal(err)
	}
	a.serving(1)
	await(b, "the server", func(h Heard) bool { return h.Reply.Bits&ccp.BitAnswer != 0 })
	if err := a.pulse.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	died := await(a, "the death", func(Died) bool { return true })
	if died.Err == nil || !strings.Contains(died.Err.Error(), "killed") {
		t.Errorf("died of %v", died.Err)
	}
	if _, more := <-a.pulse.Events(); more {
		t.Error("events after Died")
	}
	if err := a.pulse.Drop(0); !errors.Is(err, ErrClosed) {
		t.Errorf("a request to the dead: %v", err)
	}
	stop()
	if w := a.gate.Words(); w.Lease(0).Term() != 1 || !w.Serving(0, bpf.Boottime()).Has(gate.Answer) {
		t.Error("the gate closed with the pulse")
	}
	a.start()
	defer a.speak()()
	if err := a.pulse.Lease(0, 1, false); err != nil {
		t.Fatal(err)
	}
	a.serving(1)
	now := bpf.Boottime()
	await(b, "the successor", func(h Heard) bool { return h.At > now && h.Reply.LeaseAgeMs < 100 })
	opened := false
	for _, e := range b.seen {
		h, ok := e.(Heard)
		if ok && opened && h.Reply.Bits&ccp.BitAnswer == 0 {
			t.Errorf("the peer saw the gate closed: %+v", h)
		}
		opened = opened || ok && h.Reply.Bits&ccp.BitAnswer != 0
	}
}

func TestPulseEndsWithMain(t *testing.T) {
	a, _ := newPair(t)
	main := newMortal(t, ownProgram, a.config.PinDir)
	pid := main.startPulse()
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	main.kill()
	if n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 10000); n != 1 || err != nil {
		t.Errorf("the pulse outlived its main: %d, %v", n, err)
	}
}

func TestStartSaysWhyNot(t *testing.T) {
	a, _ := newPair(t)
	log := slog.New(slog.DiscardHandler)
	c := a.config
	c.PinDir += "/nothing"
	if _, err := Start(context.Background(), "/proc/self/exe", c, log); !errors.Is(err, errFailed) || !strings.Contains(err.Error(), c.PinDir) {
		t.Errorf("no gate: %v", err)
	}
	if _, err := Start(context.Background(), "/proc/self/nothing", a.config, log); err == nil || !strings.Contains(err.Error(), "/proc/self/nothing") {
		t.Errorf("no program: %v", err)
	}
	if _, err := Start(context.Background(), "/bin/true", a.config, log); err == nil {
		t.Error("a program that is no pulse was taken for one")
	}
	if err := exec.Command("/proc/self/exe", "pulse").Run(); err == nil || err.Error() != "exit status 2" {
		t.Errorf("a pulse without a main: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	p, err := Start(ctx, "/proc/self/exe", a.config, log)
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	for range p.Events() {
	}
	p.Close()
	p.Close()
}
