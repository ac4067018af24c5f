// SPDX-License-Identifier: Apache-2.0

package monitor

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/holdfast-project/holdfast/dataplane/link/linktest"
	"github.com/holdfast-project/holdfast/internal/labtest"
	"github.com/holdfast-project/holdfast/internal/monitor/verdict"
)

func mount(t *testing.T, options string) string {
	t.Helper()
	labtest.Require(t)
	dir := t.TempDir()
	if err := unix.Mount("hf", dir, "tmpfs", 0, options); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	return dir
}

func TestDisk(t *testing.T) {
	dir := mount(t, "size=1m,nr_inodes=10")
	good(t, Disk{Path: dir, MinFree: 50, MinInodes: 50, Write: true})
	if left, _ := os.ReadDir(dir); len(left) != 0 {
		t.Errorf("the write test left %v", left)
	}
	if err := os.WriteFile(filepath.Join(dir, "big"), make([]byte, 600<<10), 0o644); err != nil {
		t.Fatal(err)
	}
	bad(t, Disk{Path: dir, MinFree: 50}, "% of the space free, less than 50 %")
	good(t, Disk{Path: dir, MinFree: 30, Write: true})
	for i := range 6 {
		touch(t, filepath.Join(dir, fmt.Sprint(i)))
	}
	bad(t, Disk{Path: dir, MinInodes: 50}, "% of the inodes free, less than 50 %")
	if err := os.WriteFile(filepath.Join(dir, "rest"), make([]byte, 1<<20), 0o644); err == nil {
		t.Fatal("the filesystem is not full")
	}
	bad(t, Disk{Path: dir, Write: true}, "write test: ")
	if err := unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	bad(t, Disk{Path: dir}, dir+" is mounted read-only")
	good(t, Disk{Path: dir, ReadOnly: true})
	bad(t, Disk{Path: dir + "/none"}, "no such file")
}

func TestDiskFillsUp(t *testing.T) {
	dir := mount(t, "size=1m")
	w := serve(t, Spec{Check: Disk{Path: dir, MinFree: 20}, Interval: 20 * time.Millisecond, Fall: 2})
	w.want(verdict.OK, "")
	path := filepath.Join(dir, "big")
	if err := os.WriteFile(path, make([]byte, 900<<10), 0o644); err != nil {
		t.Fatal(err)
	}
	w.want(verdict.Problem, "of the space free")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	w.want(verdict.OK, "")
}

func TestFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	bad(t, File{Path: path}, "does not exist")
	good(t, File{Path: path, Absent: true})
	if err := os.WriteFile(path, []byte("state: up\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	good(t, File{Path: path})
	bad(t, File{Path: path, Absent: true}, path+" exists")
	good(t, File{Path: path, Match: "(?m)^state: up$", MaxAge: time.Hour})
	bad(t, File{Path: path, Match: "down"}, `does not match "down"`)
	old := time.Now().Add(-2 * time.Hour)
	if err := os.Chtimes(path, old, old); err != nil {
		t.Fatal(err)
	}
	bad(t, File{Path: path, MaxAge: time.Hour}, "has not changed for more than 1h0m0s")
	good(t, File{Path: path, MaxAge: 3 * time.Hour})
	bad(t, File{Path: filepath.Dir(path), Match: "x"}, "is not a regular file")
	bad(t, File{Path: path + "/x/y"}, "not a directory")
	fifo := path + ".fifo"
	if err := unix.Mkfifo(fifo, 0o644); err != nil {
		t.Fatal(err)
	}
	bad(t, File{Path: fifo, Match: "x"}, "is not a regular file") // and nobody waits for its other end
}

func TestInterfaceBounds(t *testing.T) {
	ten, none := 10.0, 0.0
	from := netlink.LinkStatistics64{RxBytes: 1000, TxBytes: 1000, RxPackets: 10, TxPackets: 10}
	to := netlink.LinkStatistics64{RxBytes: 1000 + 250000, TxBytes: 1000, RxPackets: 210, TxPackets: 10, RxErrors: 30, TxErrors: 30, TxDropped: 2}
	for _, k := range []struct {
		of   Interface
		want string
	}{
		{Interface{}, ""},
		{Interface{In: Rates{MinBits: 1e6, MaxBits: 1e6}}, ""},
		{Interface{In: Rates{MaxBits: 999e3}}, "receives 1M bit/s, more than 999k"},
		{Interface{In: Rates{MinBits: 2e6}}, "receives 1M bit/s, less than 2M"},
		{Interface{In: Rates{MinPackets: 101}}, "receives 100 packets/s, less than 101"},
		{Interface{In: Rates{MaxPackets: 99}}, "receives 100 packets/s, more than 99"},
		{Interface{Out: Rates{MinPackets: 1}}, "sends 0 packets/s, less than 1"},
		{Interface{MaxErrors: &ten}, "has 30 errors/s, more than 10"},
		{Interface{MaxDrops: &ten}, ""},
		{Interface{MaxDrops: &none}, "has 1 drops/s, more than 0"},
	} {
		if got := k.of.judge(from, to, 2); got != k.want {
			t.Errorf("%+v: %q, want %q", k.of, got, k.want)
		}
	}
}

// TestInterface: without traffic a floor is missed, with traffic it is not.
func TestInterface(t *testing.T) {
	here := linktest.Here(t)
	there := linktest.New(t)
	linktest.Veth(here, "hfi0", there, "hfi1")
	here.Addr("hfi0", "10.21.0.1/24")
	there.Addr("hfi1", "10.21.0.2/24")
	w := serve(t, Spec{Check: Interface{Device: "hfi0", In: Rates{MinPackets: 20}}, Interval: 200 * time.Millisecond, Fall: 1})
	if r := w.next(); r.Status != verdict.Init || r.Reason == "" {
		t.Errorf("%+v", r)
	}
	w.want(verdict.Problem, "hfi0 receives ")
	flood := make(chan struct{})
	go func() {
		defer close(flood)
		_, _ = there.Try("ping", "-q", "-i", "0.002", "-w", "2", "10.21.0.1")
	}()
	w.want(verdict.OK, "")
	here.Run("ip", "link", "del", "hfi0")
	w.want(verdict.Problem, "device hfi0: ")
	<-flood
}

// TestFirstRate: of two looks that lie close together follows no rate, whatever moved in between.
func TestFirstRate(t *testing.T) {
	i := &iface{Interface: Interface{Device: "lo", In: Rates{MinBits: 1e12}}, interval: time.Hour}
	for n := range 3 {
		if r := i.check(t.Context()); r.Outcome != verdict.Pending {
			t.Errorf("look %d: %+v", n, r)
		}
	}
	i.at = i.at.Add(-time.Hour)
	if r := i.check(t.Context()); r.Outcome != verdict.Bad {
		t.Errorf("after an interval: %+v", r)
	}
}
