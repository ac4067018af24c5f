// SPDX-License-Identifier: Apache-2.0

package members_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-project/holdfast/internal/control"
	"github.com/holdfast-project/holdfast/lab/members"
	"github.com/holdfast-project/holdfast/lab/topology"
	"github.com/holdfast-project/holdfast/lab/topology/topologytest"
)

// boot brings up a cluster of two with holdfastd as it is in the tree, and returns when both know who serves. Everything is gone when the
// test ends; the context ends after a minute.
func boot(t *testing.T, name string) (context.Context, *members.Cluster) {
	t.Helper()
	ctx, c := bootWith(t, name, members.Options{})
	agreed(ctx, t, c, "")
	return ctx, c
}

// bootWith boots a cluster of two with options and waits for its daemons' answers only; binary and directory are the test's.
func bootWith(t *testing.T, name string, o members.Options) (context.Context, *members.Cluster) {
	t.Helper()
	lab := topologytest.Build(t, topology.DefaultSpec(name, 2))
	dir, err := os.MkdirTemp("/tmp", "hf") // short enough for sockets
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	o.Binary, o.Dir = daemon(t), dir
	c, err := members.New(lab, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	if err := c.Boot(ctx); err != nil {
		t.Fatal(err)
	}
	return ctx, c
}

// agreed waits until every member says that one member serves, this one unless server is empty, and that all others stand by. An order that is
// given to a member before it knows who serves is refused.
func agreed(ctx context.Context, t *testing.T, c *members.Cluster, server string) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		said := map[string]int{}
		for _, s := range c.States(ctx) {
			for _, m := range s.Members {
				said[m.Name+" "+m.State]++
			}
		}
		all, serving := len(c.Members()), 0
		for _, m := range c.Members() {
			switch {
			case said[m.Name()+" ACTIVE"] == all && (server == "" || server == m.Name()):
				serving++
			case said[m.Name()+" STANDBY"] != all:
				serving = -all
			}
		}
		if serving == 1 {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("the members do not agree that %q serves: %v", server, said)
		case <-tick.C:
		}
	}
}

// handOver gives the order until it is taken: a member whose host has just stood still refuses for a moment.
func handOver(ctx context.Context, t *testing.T, c *members.Cluster, to string) {
	t.Helper()
	for {
		err := c.FailoverTo(ctx, to, 0)
		if err == nil {
			agreed(ctx, t, c, to)
			return
		}
		var refusal *control.Error
		if !errors.As(err, &refusal) || refusal.Code != control.CodeRefused {
			t.Fatal(err)
		}
		select {
		case <-ctx.Done():
			t.Fatal(err)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// builtIn is the directory of holdfastd as it is in the tree, which built makes once for all tests; "" before that.
var builtIn string

var built = sync.OnceValues(func() (path string, err error) {
	if builtIn, err = os.MkdirTemp("", "holdfastd"); err != nil {
		return "", err
	}
	path = filepath.Join(builtIn, "holdfastd")
	if out, err := exec.Command("go", "build", "-o", path, "github.com/holdfast-project/holdfast/cmd/holdfastd").CombinedOutput(); err != nil {
		return path, fmt.Errorf("build holdfastd: %w\n%s", err, out)
	}
	return path, nil
})

func daemon(t *testing.T) string {
	t.Helper()
	path, err := built()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func TestMain(m *testing.M) {
	code := m.Run()
	if builtIn != "" {
		_ = os.RemoveAll(builtIn)
	}
	os.Exit(code)
}
