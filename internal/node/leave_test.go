// SPDX-License-Identifier: Apache-2.0

package node

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-project/holdfast/bpf"
	"github.com/holdfast-project/holdfast/ccp"
	"github.com/holdfast-project/holdfast/internal/config"
	"github.com/holdfast-project/holdfast/internal/control"
)

// TestSetBack: a member whose machine was set back to a snapshot begins anew, as soon as a peer echoes what it has not said yet. A peer that echoes
// what it has just said is no reason.
func TestSetBack(t *testing.T) {
	key := ccp.Key{Number: 1, Key: ccp.ClusterKey{1, 2, 3}}
	for name, k := range map[string]struct {
		ahead time.Duration
		want  leaveKind
	}{"now": {0, staying}, "a little ahead": {500 * time.Millisecond, staying}, "an hour ahead": {time.Hour, stopping}} {
		t.Run(name, func(t *testing.T) {
			n := &node{log: slog.New(slog.DiscardHandler), cfg: &config.Cluster{ID: 7, Members: []config.Member{{ID: 0, Name: "gw-a"}, {ID: 1, Name: "gw-b"}}}}
			w := &wire{n: n, incarnation: 100, opener: ccp.NewOpener(7, 0, 100, key), inAt: map[[2]uint8]int64{}, macs: map[[2]uint8][6]byte{{1, 0}: {2}}}
			peer, theirs := ccp.NewOpener(7, 1, 200, key), ccp.NewSealer(key.Key, key.Number, 7, 1, 200)
			frame := func() []byte {
				plain := append(peer.AppendEcho(nil, 0), make([]byte, 40)...)
				return theirs.Seal(nil, ccp.Header{Type: ccp.TypeKey, Target: 0, Sequence: uint64(bpf.Boottime())}, plain)
			}
			w.opener.Open(bpf.Boottime(), frame(), nil)
			said := bpf.Boottime() + int64(k.ahead) // before the machine was set back
			ours := ccp.NewSealer(key.Key, key.Number, 7, 0, 100)
			peer.Open(said, ours.Seal(nil, ccp.Header{Type: ccp.TypeHello, Target: 1, Sequence: uint64(said)}, w.opener.AppendEcho(nil, 1)), nil)
			if o, drop := w.opener.Open(bpf.Boottime(), frame(), nil); drop != ccp.DropNone || !o.Bound {
				t.Fatalf("the peer is not bound: %v", drop)
			}
			w.received(frameOf(frame()))
			if n.leave != k.want || n.again != (k.want == stopping) {
				t.Errorf("leaves: %v, again: %v", n.leave, n.again)
			}
		})
	}
}

func frameOf(b []byte) frame { return frame{src: [6]byte{2}, data: b} }

// TestLeavingWithoutDisk: a member that is told to go, goes, though nothing can be written any more. With an error the service manager
// would start it again.
func TestLeavingWithoutDisk(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
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
	if err := errors.Join(os.RemoveAll(dir), os.WriteFile(dir, nil, 0o600)); err != nil { // nor can it be made again
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
