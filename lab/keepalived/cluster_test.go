// SPDX-License-Identifier: Apache-2.0

package keepalived_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/holdfast-project/holdfast/internal/labtest"
	"github.com/holdfast-project/holdfast/lab/keepalived"
	"github.com/holdfast-project/holdfast/lab/machine"
	"github.com/holdfast-project/holdfast/lab/topology"
)

// TestCluster takes a cluster through what the benchmark does to it.
func TestCluster(t *testing.T) {
	labtest.Require(t, "keepalived")
	spec := topology.DefaultSpec("test", 2)
	spec.VIPs = 30 // more than are advertised
	lab, err := topology.Build(spec)
	if err != nil {
		t.Fatal(err)
	}
	defer lab.Close()
	c, err := keepalived.New(lab, keepalived.Options{Dir: t.TempDir(), Advert: 50 * time.Millisecond, RealTime: true})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}()
	if c.Name() != "keepalived-50ms" {
		t.Errorf("it is called %s", c.Name())
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	changes := make(chan machine.Change, 100)
	c.Watch(ctx, func(ch machine.Change) { changes <- ch })
	if err := c.Boot(ctx); err != nil {
		t.Fatal(err)
	}
	serving(ctx, t, c, "fw1")
	if ch := <-changes; ch.Member == "" || ch.To == "" {
		t.Errorf("the first change is %+v", ch)
	}
	if err := c.PowerOff("fw1"); err != nil {
		t.Fatal(err)
	}
	serving(ctx, t, c, "fw2")
	if err := c.PowerOn(ctx, "fw1"); err != nil {
		t.Fatal(err)
	}
	if err := c.Handover(ctx, "fw1"); err != nil {
		t.Fatal(err)
	}
	serving(ctx, t, c, "fw1")
	if err := c.Restart(ctx, "fw2"); err != nil {
		t.Fatal(err)
	}
	if err := c.Kill("fw1", machine.AllParts); err != nil {
		t.Fatal(err)
	}
	serving(ctx, t, c, "fw2")
}

func serving(ctx context.Context, t *testing.T, c *keepalived.Cluster, want string) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		got := c.Serving(ctx)
		if slices.Equal(got, []string{want}) {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("%v serve, want %s", got, want)
		case <-tick.C:
		}
	}
}
