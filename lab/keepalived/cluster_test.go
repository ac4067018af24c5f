// SPDX-License-Identifier: Apache-2.0

package keepalived_test

import (
	"context"
	"testing"
	"time"

	"github.com/holdfast-project/holdfast/lab/keepalived"
	"github.com/holdfast-project/holdfast/lab/machine"
	"github.com/holdfast-project/holdfast/lab/topology"
	"github.com/holdfast-project/holdfast/lab/topology/topologytest"
)

// advert is slow enough for a busy machine: a keepalived that is late by three of them changes places with the other.
const advert = 200 * time.Millisecond

// TestCluster takes a cluster through what the benchmark does to it. Who serves is asked before each fault: a member that once was
// late has lost its place, and keeps standing by.
func TestCluster(t *testing.T) {
	spec := topology.DefaultSpec("test", 2)
	spec.VIPs = 30 // more than are advertised
	lab := topologytest.Build(t, spec, "keepalived")
	c, err := keepalived.New(lab, keepalived.Options{Dir: t.TempDir(), Advert: advert, RealTime: true})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}()
	if c.Name() != "keepalived-200ms" {
		t.Errorf("it is called %s", c.Name())
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	changes := make(chan machine.Change, 1000)
	c.Watch(ctx, func(ch machine.Change) { changes <- ch })
	if err := c.Boot(ctx); err != nil {
		t.Fatal(err)
	}
	first, second := serving(ctx, t, c)
	if ch := <-changes; ch.Member == "" || ch.To == "" {
		t.Errorf("the first change is %+v", ch)
	}
	if err := c.PowerOff(first); err != nil {
		t.Fatal(err)
	}
	expect(ctx, t, c, second)
	for len(changes) > 0 {
		<-changes
	}
	if err := c.PowerOn(ctx, first); err != nil {
		t.Fatal(err)
	}
	if err := c.Handover(ctx, first); err != nil {
		t.Fatal(err)
	}
	for ch := (machine.Change{}); ch.Member != first || ch.To != "MASTER"; {
		select {
		case ch = <-changes:
		case <-ctx.Done():
			t.Fatalf("%s has not taken over", first)
		}
	}
	_, standby := serving(ctx, t, c)
	if err := c.Restart(ctx, standby); err != nil {
		t.Fatal(err)
	}
	killed, successor := serving(ctx, t, c)
	if err := c.Kill(killed, machine.AllParts); err != nil {
		t.Fatal(err)
	}
	expect(ctx, t, c, successor)
}

// serving waits until one member serves, and returns it and the other.
func serving(ctx context.Context, t *testing.T, c *keepalived.Cluster) (server, other string) {
	t.Helper()
	server = await(ctx, t, c, "one of them", func(string) bool { return true })
	if server == "fw1" {
		return server, "fw2"
	}
	return server, "fw1"
}

// expect waits until want serves.
func expect(ctx context.Context, t *testing.T, c *keepalived.Cluster, want string) {
	t.Helper()
	await(ctx, t, c, want, func(server string) bool { return server == want })
}

// await waits until one member serves alone, and is right.
func await(ctx context.Context, t *testing.T, c *keepalived.Cluster, want string, right func(string) bool) string {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		got := c.Serving(ctx)
		if len(got) == 1 && right(got[0]) {
			return got[0]
		}
		select {
		case <-ctx.Done():
			t.Fatalf("%v serve, want %s", got, want)
		case <-tick.C:
		}
	}
}
