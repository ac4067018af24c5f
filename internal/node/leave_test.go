// SPDX-License-Identifier: Apache-2.0

package node

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"strings"
	"testing"

	"github.com/holdfast-project/holdfast/internal/control"
)

// TestLeavingWithoutDisk: a member that is told to go, goes, though nothing can be written any more. With an error the service manager
// would start it again.
func TestLeavingWithoutDisk(t *testing.T) {
	dir := t.TempDir()
	var said bytes.Buffer
	log := slog.New(slog.NewTextHandler(&said, nil))
	s := remember(t, dir)
	s.log = log
	if err := s.keepDevices([]control.DeviceRequest{register("db", "ok", true)}); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	n := &node{log: log, store: s, trace: openTrace(dir, newWallClock(), "gw-a", log), tasks: newSupervisor(context.WithoutCancel(ctx)), leave: restarting}
	n.trace.Change(control.Event{Reason: "the last one"})
	s.noteReport(control.DeviceRequest{Action: "report", Name: "db", Status: "problem"})
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	stop()
	n.tasks.start(task{name: "store", run: func(context.Context) error { return s.serve(ctx) }})
	n.tasks.start(task{name: "history", run: func(context.Context) error { return n.trace.Serve(ctx) }})
	_ = n.tasks.wait() // end returns the error, if there is one
	if err := n.end(nil); err != nil {
		t.Errorf("the daemon ends with %v", err)
	}
	for _, want := range []string{"remember reports", "while leaving"} {
		if !strings.Contains(said.String(), want) {
			t.Errorf("nothing is on record of %q in %s", want, said.String())
		}
	}
}
