// SPDX-License-Identifier: Apache-2.0

package members_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/holdfast-project/holdfast/lab/members"
	"github.com/holdfast-project/holdfast/lab/topology"
)

// boot brings up a cluster of two with holdfastd as it is in the tree. Everything is gone when the test ends; the context ends after
// a minute.
func boot(t *testing.T, name string) (context.Context, *members.Cluster) {
	t.Helper()
	return bootWith(t, name, members.Options{})
}

// bootWith is boot with options; binary and directory are the test's.
func bootWith(t *testing.T, name string, o members.Options) (context.Context, *members.Cluster) {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "holdfastd")
	if out, err := exec.Command("go", "build", "-o", binary, "github.com/holdfast-project/holdfast/cmd/holdfastd").CombinedOutput(); err != nil {
		t.Fatalf("build holdfastd: %v\n%s", err, out)
	}
	lab, err := topology.Build(topology.DefaultSpec(name, 2))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = lab.Close() })
	dir, err := os.MkdirTemp("/tmp", "hf") // short enough for sockets
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	o.Binary, o.Dir = binary, dir
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
