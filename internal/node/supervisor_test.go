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
	case <-time.After(outlive + time.Second):
		t.Fatal("the commands go on")
	}
	if took := time.Since(began); took < outlive/2 {
		t.Errorf("they had %v to end", took)
	}
}
