// SPDX-License-Identifier: Apache-2.0

package node

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/holdfast-project/holdfast/bpf"
	"github.com/holdfast-project/holdfast/ccp"
	"github.com/holdfast-project/holdfast/internal/control"
	"github.com/holdfast-project/holdfast/internal/metrics"
	"github.com/holdfast-project/holdfast/internal/notify"
	"github.com/holdfast-project/holdfast/members"
)

// TestOrderThatHasToWait: a member in INIT takes the order to go down and carries it out later; who gave it is not told that it failed.
func TestOrderThatHasToWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := lonelyNode(t)
		r, err := (&backend{n}).Admin(t.Context(), control.AdminRequest{Permanent: true})
		if err != nil || !strings.Contains(r.Done, "accepted and pending: gw-a is INIT still") || !strings.Contains(strings.Join(r.Details, " "), "survives restarts") {
			t.Errorf("told %+v, %v", r, err)
		}
		if !n.store.AdminDown {
			t.Error("the order is not kept")
		}
	})
}

// lonelyNode is a member in INIT that carries orders out and that nobody hears.
func lonelyNode(t *testing.T) *node {
	t.Helper()
	n := referenceNode(t, "gw-a")
	n.o.Member = "gw-a"
	n.asks, n.left, n.events, n.metrics = make(chan func()), make(chan struct{}), control.NewEvents(keepEvents), metrics.New(metrics.Source{})
	n.store = remember(t, filepath.Join(t.TempDir(), "state"))
	n.trace = openTrace(t.TempDir(), newWallClock(), "gw-a", n.log)
	ring := ccp.NewKeyring(n.cfg.ID, n.local.Self.ID, uint8(len(n.cfg.Members)))
	if err := ring.Load(ccp.Key{Number: 1}); err != nil {
		t.Fatal(err)
	}
	n.wire = &wire{n: n, ring: ring} // without sockets
	n.notify = notify.New(notify.Options{Cluster: "edge", Member: "gw-a", Dir: t.TempDir(), Log: n.log})
	n.machine = members.New(n.machineConfig(), members.Boot{Now: bpf.Boottime(), Incarnation: 1})
	go func() {
		for f := range n.asks {
			f()
			n.checkWaits()
		}
	}()
	t.Cleanup(func() { close(n.asks) })
	return n
}

// TestOrderOverOrder: who is overtaken by another order ends his own, and not the other.
func TestOrderOverOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &backend{lonelyNode(t)}
		errs := make([]error, 2)
		var orders sync.WaitGroup
		for i, to := range []string{"gw-b", "gw-a"} {
			orders.Go(func() { _, errs[i] = b.Failover(t.Context(), control.FailoverRequest{To: to}) })
			synctest.Wait()
		}
		orders.Wait()
		for i, want := range []string{"gw-b cannot take over", "gw-a has not taken over within 5s: it is INIT: the daemon has started and listens for the other members; holdfast why gw-a says more"} {
			if errs[i] == nil || !strings.Contains(errs[i].Error(), want) {
				t.Errorf("order %d: %v, want %q", i, errs[i], want)
			}
		}
	})
}

// TestOrdersAmidReloads has the race detector, where it runs, see that no request reads what a reload replaces.
func TestOrdersAmidReloads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := lonelyNode(t)
		b := &backend{n}
		var all sync.WaitGroup
		all.Go(func() {
			for range 10 {
				n.asks <- func() { cfg, local := *n.cfg, n.local; n.cfg, n.local = &cfg, local }
			}
		})
		all.Go(func() { _, _ = b.Failover(t.Context(), control.FailoverRequest{To: "nobody"}) })
		all.Go(func() { _, _ = b.Admin(t.Context(), control.AdminRequest{Up: true}) })
		all.Go(func() {
			if _, err := b.Which(t.Context(), control.WhichRequest{}); err == nil {
				t.Error("a cluster that does not share its load says where a packet goes")
			}
		})
		all.Wait()
	})
}

func TestAdminResult(t *testing.T) {
	for _, k := range []struct {
		r       control.AdminRequest
		v       members.View
		pending bool
		want    control.Result
	}{
		{control.AdminRequest{}, members.View{State: members.StateDown}, false, control.Result{Done: "gw-a is administratively down: DOWN"}},
		{control.AdminRequest{Up: true}, members.View{State: members.StateStandby}, false, control.Result{Done: "gw-a is administratively up: STANDBY"}},
		{control.AdminRequest{}, members.View{State: members.StateActiveAttention, Reason: "nobody else can"}, false,
			control.Result{Done: "gw-a is administratively down: ACTIVE(!)", Details: []string{"it goes on serving: nobody else can"}}},
		{control.AdminRequest{}, members.View{State: members.StateInit, Reason: "waits for peers"}, true, control.Result{
			Done: "the order is accepted and pending: gw-a is INIT still, and administratively down as soon as it can be", Details: []string{"waits for peers"}}},
	} {
		if got := adminResult("gw-a", k.r, k.v, k.pending); !reflect.DeepEqual(got, k.want) {
			t.Errorf("%+v, want %+v", got, k.want)
		}
	}
}

func TestStopResult(t *testing.T) {
	both := []members.PeerView{{ID: 0, Name: "gw-a"}, {ID: 1, Name: "gw-b"}}
	for _, k := range []struct {
		before, after members.View
		want          string
	}{
		{members.View{State: members.StateStandby}, members.View{Active: 1, Members: both}, "gw-a has left the cluster, takes back what it set on this host, and ends"},
		{members.View{State: members.StateActive}, members.View{Active: 1, Members: both}, "gw-a has handed over to gw-b, takes back what it set on this host, and ends"},
		{members.View{State: members.StateActive}, members.View{Active: members.Nobody, Members: both},
			"gw-a takes back what it set on this host, and ends; it served, and no other member is known to take over"},
		{members.View{State: members.StateActiveAttention}, members.View{Active: 0, Members: both},
			"gw-a takes back what it set on this host, and ends; it served, and no other member is known to take over"},
	} {
		if got := stopResult("gw-a", k.before, k.after); got != k.want {
			t.Errorf("%q, want %q", got, k.want)
		}
	}
}

// TestRefusedReload: lists are lists for programs, also when they are empty.
func TestRefusedReload(t *testing.T) {
	n := referenceNode(t, "gw-a")
	n.metrics = metrics.New(metrics.Source{})
	text, err := os.ReadFile("../../deploy/cluster.yaml")
	if err != nil {
		t.Fatal(err)
	}
	n.o.Config = filepath.Join(t.TempDir(), "cluster.yaml")
	other := strings.Replace(string(text), "\nid: 7\n", "\nid: 8\n", 1)
	if err := os.WriteFile(filepath.Join(filepath.Dir(n.o.Config), "cluster.key"), []byte("1:"+base64.StdEncoding.EncodeToString([]byte(strings.Repeat("k", 31)+"1"))+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(n.o.Config, []byte(other), 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := n.reload()
	if err != nil || len(r.Refused) == 0 {
		t.Fatalf("%+v, %v", r, err)
	}
	if answer, err := json.Marshal(r); err != nil || !strings.Contains(string(answer), `"applied":[]`) || strings.Contains(string(answer), "warnings") {
		t.Errorf("answered %s, %v", answer, err)
	}
}

func TestWarningsOf(t *testing.T) {
	err := errors.Join(nil, errors.Join(errors.New("interface inside: no such device"), errors.New("gate: no memory")), nil)
	if got := warningsOf(err); !reflect.DeepEqual(got, []string{"interface inside: no such device", "gate: no memory"}) || warningsOf(nil) != nil {
		t.Errorf("%q", got)
	}
}
