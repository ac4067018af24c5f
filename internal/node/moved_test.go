// SPDX-License-Identifier: Apache-2.0

package node

import (
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-project/holdfast/internal/config"
	"github.com/holdfast-project/holdfast/internal/control"
	"github.com/holdfast-project/holdfast/internal/history"
	"github.com/holdfast-project/holdfast/internal/metrics"
	"github.com/holdfast-project/holdfast/internal/notify"
	"github.com/holdfast-project/holdfast/members"
)

// watched is a node that has metrics and a history only, and the text of its metrics.
func watched(t *testing.T) (n *node, text func() string) {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	n = &node{log: log, metrics: metrics.New(metrics.Source{Cluster: "edge", Member: "gw-a"}), trace: openTrace(t.TempDir(), newWallClock(), "gw-a", log),
		events: control.NewEvents(keepEvents), notify: notify.New(notify.Options{Log: log})}
	n.cfg = &config.Cluster{Members: []config.Member{{Name: "gw-a"}, {Name: "gw-b"}, {Name: "gw-c"}}}
	t.Cleanup(func() { _ = n.trace.Close() })
	return n, func() string {
		w := httptest.NewRecorder()
		n.metrics.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
		return w.Body.String()
	}
}

// TestEachMoveIsCountedOnce: all members see a hand-over, and a sum over them must count it once: by the one that took over.
func TestEachMoveIsCountedOnce(t *testing.T) {
	const a, b, c = 0, 1, 2
	move := members.Move{At: int64(time.Minute), From: a, To: b, Cause: members.CauseSilence, Reason: "gw-a is silent"}
	for self, want := range []string{a: "0", b: "1", c: "0"} {
		n, text := watched(t)
		v := members.View{Self: uint8(self), Members: make([]members.PeerView, 3), LastFailover: move}
		n.moved(v)
		n.moved(v)
		if line := `holdfast_failovers_total{cluster="edge",reason="silence",self="gw-a"} ` + want + "\n"; !strings.Contains(text(), line) {
			t.Errorf("member %d: no %s", self, line)
		}
		if len(n.trace.Failovers()) != 1 {
			t.Errorf("member %d has %d failovers in its history", self, len(n.trace.Failovers()))
		}
	}
}

func TestHistoryNotWrittenIsMeasured(t *testing.T) {
	n, text := watched(t)
	for _, failed := range []bool{false, true, false} {
		n.historyReport(history.Report{Failed: failed, Reason: "no space left on device"})
		want := `holdfast_history_writable{cluster="edge",self="gw-a"} 1`
		if failed {
			want = want[:len(want)-1] + "0"
		}
		if !strings.Contains(text(), want) {
			t.Errorf("no %s", want)
		}
	}
}
