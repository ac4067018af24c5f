// SPDX-License-Identifier: Apache-2.0

package node

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-project/holdfast/internal/monitor"
	"github.com/holdfast-project/holdfast/members"
)

// TestTaskThatDoesNotEnd: whatever hangs holds up no daemon that ends, and the log says what it was.
func TestTaskThatDoesNotEnd(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	s := newSupervisor(ctx)
	release := make(chan struct{})
	s.start(task{"hangs", func(context.Context) error { <-release; return nil }})
	s.start(task{"ends", func(ctx context.Context) error { <-ctx.Done(); return nil }})
	cancel()
	var text bytes.Buffer
	words := 0
	err := s.waitAtMost(3*wordEvery, func(time.Duration) { words++ }, slog.New(slog.NewTextHandler(&text, nil)))
	if err != nil || words == 0 || !strings.Contains(text.String(), "[hangs]") {
		t.Errorf("%v, %d words, %s", err, words, text.String())
	}
	close(release)
	s.start(task{"fails", func(context.Context) error { return errors.New("broken") }})
	if err := s.waitAtMost(time.Minute, func(time.Duration) {}, slog.Default()); err == nil || !strings.Contains(err.Error(), "fails: broken") {
		t.Errorf("an error of a task: %v", err)
	}
}

// TestCommandsShareTheirLastTime: a command that runs when the daemon ends and the one that waits have one span together.
func TestCommandsShareTheirLastTime(t *testing.T) {
	n := referenceNode(t, "gw-a")
	n.store = remember(t, t.TempDir())
	n.newCommands()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- n.commands.serve(ctx) }()
	hang := command{when: "on-active", timeout: time.Minute, run: monitor.Command{Line: "sleep 600", User: "root"}}
	n.commands.next <- hang
	hang.when = "on-standby"
	n.commands.next <- hang // taken only when the first has been
	began := time.Now()
	cancel()
	select {
	case <-ended:
	case <-time.After(outlive + 10*time.Second):
		t.Fatal("the commands go on")
	}
	if took := time.Since(began); took < outlive/2 {
		t.Errorf("they had %v to end", took)
	}
}

// TestCommandAfterCrash: a daemon that ended without the command of what its member is now leaves it to the next one, in the same boot.
func TestCommandAfterCrash(t *testing.T) {
	change := func(from, to members.State) members.Record { return members.Record{From: from, To: to} }
	standby, active := change(members.StateInit, members.StateStandby), change(members.StateStandby, members.StateActive)
	adopted := members.Record{Code: members.CodeAdopted, From: members.StateInit, To: members.StateActive}
	for _, k := range []struct {
		what  string
		begun string
		done  bool
		now   members.Record
		want  string
	}{
		{"nothing was run", "", false, standby, ""},
		{"crashed while it served", "on-active", true, standby, "on-standby"},
		{"crashed amid the command", "on-standby", false, standby, "on-standby"},
		{"restarted", "on-standby", true, standby, ""},
		{"adopted", "on-active", true, adopted, ""},
		{"adopted, the command had not ended", "on-active", false, adopted, "on-active"},
		{"takes over", "on-active", true, active, "on-active"},
		{"down", "on-active", true, change(members.StateInit, members.StateDown), "on-standby"},
		{"not known yet", "on-active", true, change(members.StateDown, members.StateInit), ""},
	} {
		n := referenceNode(t, "gw-a")
		n.store = remember(t, t.TempDir())
		n.cfg.Routing.OnActive, n.cfg.Routing.OnStandby = "true", "true"
		if k.begun != "" {
			n.store.noteCommand(k.begun, k.done)
		}
		n.newCommands()
		got := func() string {
			select {
			case c := <-n.commands.next:
				return c.when
			default:
				return ""
			}
		}
		n.runOnChange(k.now)
		if when := got(); when != k.want {
			t.Errorf("%s: %q, want %q", k.what, when, k.want)
		}
		n.runOnChange(k.now)
		if when := got(); when != "" && k.now != active {
			t.Errorf("%s: %q a second time", k.what, when)
		}
	}
	n := referenceNode(t, "gw-a")
	n.store = remember(t, t.TempDir())
	n.store.noteCommand("on-active", true)
	n.store.bootID = "another"
	if n.store.lastCommand() != nil {
		t.Error("a reboot undoes what a command did")
	}
}
