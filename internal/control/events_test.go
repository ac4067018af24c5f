// SPDX-License-Identifier: Apache-2.0

package control_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"testing"

	"github.com/holdfast-project/holdfast/internal/control"
	"github.com/holdfast-project/holdfast/internal/control/controltest"
)

func TestEventsAreBounded(t *testing.T) {
	l := control.NewEvents(4)
	if got := l.Since(0); len(got) != 0 {
		t.Fatalf("an empty log has %v", got)
	}
	for range 10 {
		l.Publish(control.Event{Code: control.CodeStateChange})
	}
	if got := l.Since(0); len(got) != 4 || got[0].Seq != 7 || got[3].Seq != 10 {
		t.Errorf("all that is kept: %+v", got)
	}
	got := l.Since(2)
	if len(got) != 5 || got[0].Code != control.CodeOverrun || got[0].Lost != 4 || got[0].Seq != 6 || got[1].Seq != 7 {
		t.Errorf("a reader that missed 3, 4, 5, 6: %+v", got)
	}
	if l.Missed() != 4 || l.Last() != 10 {
		t.Errorf("missed %d, last %d", l.Missed(), l.Last())
	}
	if got := l.Since(10); len(got) != 0 {
		t.Errorf("nothing is new: %+v", got)
	}
	if got := l.Since(1000); len(got) != 4 || got[0].Seq != 7 || l.Missed() != 4 {
		t.Errorf("a number from before a restart skips events: %+v", got)
	}
}

func TestStateChange(t *testing.T) {
	for _, k := range []struct {
		e    control.Event
		want bool
	}{
		{control.Event{From: "STANDBY", To: "ACTIVE"}, true},
		{control.Event{From: "ACTIVE", To: "ACTIVE"}, false},
		{control.Event{Code: "peer-lost"}, false},
	} {
		if got := k.e.StateChange(); got != k.want {
			t.Errorf("%+v: %v", k.e, got)
		}
	}
}

func TestFollow(t *testing.T) {
	c, events := client(t, &controltest.Backend{})
	events.Publish(control.Event{Code: "first"})
	var codes []string
	done := errors.New("enough")
	err := c.Follow(t.Context(), 0, func(e control.Event) error {
		codes = append(codes, e.Code)
		if e.Code == "first" {
			events.Publish(control.Event{Code: "second"}) // comes while the follower waits
			return nil
		}
		return done
	})
	if !errors.Is(err, done) || len(codes) != 2 || codes[1] != "second" {
		t.Errorf("%v %v", err, codes)
	}
	all, err := c.Events(t.Context(), 1)
	if err != nil || len(all) != 1 || all[0].Seq != 2 {
		t.Errorf("%+v %v", all, err)
	}
}

func TestFollowEndsWithContext(t *testing.T) {
	c, events := client(t, &controltest.Backend{})
	events.Publish(control.Event{Code: "first"})
	ctx, cancel := context.WithCancel(t.Context())
	err := c.Follow(ctx, 0, func(control.Event) error { cancel(); return nil })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// TestFollowEndsWithServer also shows that a follower does not hold up the end of the daemon.
func TestFollowEndsWithServer(t *testing.T) {
	socket, events := "", (*control.Events)(nil)
	following, ended := make(chan struct{}), make(chan error, 1)
	t.Run("server", func(t *testing.T) {
		socket, events = controltest.Serve(t, &controltest.Backend{})
		events.Publish(control.Event{Code: "first"})
		c := control.NewClient(socket)
		go func() {
			defer c.Close()
			ended <- c.Follow(context.Background(), 0, func(control.Event) error { close(following); return nil })
		}()
		<-following
	})
	if err := <-ended; !errors.Is(err, io.EOF) {
		t.Errorf("got %v, want io.EOF", err)
	}
}

// TestEventsOfAnotherRun: a number of an earlier run of the daemon hides nothing, however far this one has counted.
func TestEventsOfAnotherRun(t *testing.T) {
	socket, events := controltest.Serve(t, &controltest.Backend{})
	for range 3 {
		events.Publish(control.Event{Code: "some"})
	}
	hc := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}}}
	for query, want := range map[string]int{"since=2": 1, "since=2&run=" + events.Run(): 1, "since=2&run=ANOTHER": 3, "since=99": 3} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://holdfast/v1/events?"+query, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := hc.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if got := bytes.Count(text, []byte("\n")); got != want || resp.Header.Get("Holdfast-Run") != events.Run() {
			t.Errorf("%s: %d events of run %q, want %d of %q", query, got, resp.Header.Get("Holdfast-Run"), want, events.Run())
		}
	}
	if control.NewEvents(1).Run() == events.Run() {
		t.Error("two runs have the same name")
	}
}
