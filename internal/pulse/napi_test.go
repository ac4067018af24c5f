// SPDX-License-Identifier: Apache-2.0

package pulse

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/holdfast-project/holdfast/internal/labtest"
)

func TestNAPIThreads(t *testing.T) {
	proc := t.TempDir()
	for pid, thread := range map[string]struct{ comm, stat string }{
		"10":   {"napi/eth0-513", "10 (napi/eth0-513) S 2 0 0"},
		"11":   {"napi/eth0-514", "11 (napi/eth0-514) S 2 0 0"},
		"12":   {"napi/eth01-515", "12 (napi/eth01-515) S 2 0 0"},
		"13":   {"napi/eth0-1-516", "13 (napi/eth0-1-516) S 2 0 0"},
		"14":   {"napi/eth0-517", "14 (napi/eth0-517) S 1 0 0"}, // an impostor: not kthreadd's child
		"15":   {"napi/eth0-518", "15 (napi/eth0) S 1 (-518) S 2 0 0"},
		"16":   {"napi/enp94s0f1n", "16 (napi/enp94s0f1n) S 2 0 0"}, // cut by an old kernel
		"17":   {"kworker/0:1", "17 (kworker/0:1) S 2 0 0"},
		"self": {"napi/eth0-519", "18 (napi/eth0-519) S 2 0 0"},
	} {
		dir := filepath.Join(proc, pid)
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		for name, text := range map[string]string{"comm": thread.comm, "stat": thread.stat} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	for ifname, want := range map[string][]int{
		"eth0": {10, 11, 15}, "eth01": {12}, "eth0-1": {13}, "enp94s0f1np1": {16}, "eth": nil, "": nil,
	} {
		got, err := napiThreads(proc, ifname)
		slices.Sort(got)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%q: %v, %v; want %v", ifname, got, err, want)
		}
	}
	if _, err := napiThreads(filepath.Join(proc, "none"), "eth0"); err == nil {
		t.Error("no error without /proc")
	}
}

func TestRaiseNAPI(t *testing.T) {
	labtest.Require(t)
	a, _ := newPair(t)
	name := "port1"
	if n, err := RaiseNAPI(name, 40); n != 0 || err != nil {
		t.Fatalf("without threads: %d, %v", n, err)
	}
	if err := a.ns.Do(func() error { return threadNAPI(name) }); err != nil {
		t.Fatal(err)
	}
	n, err := RaiseNAPI(name, 40)
	if n == 0 || err != nil {
		t.Fatalf("raised %d, %v", n, err)
	}
	pids, err := napiThreads("/proc", name)
	if err != nil || len(pids) != n {
		t.Fatalf("threads %v, %v; raised %d", pids, err, n)
	}
	for _, pid := range pids {
		attr, err := unix.SchedGetAttr(pid, 0)
		if err != nil || attr.Policy != unix.SCHED_FIFO || attr.Priority != 40 {
			t.Errorf("thread %d: %+v, %v", pid, attr, err)
		}
	}
	if _, err := RaiseNAPI(name, 100); err == nil {
		t.Error("priority 100 was accepted")
	}
}

// threadNAPI has the interface polled by threads, through a sysfs of this namespace that goes with the calling thread. A veth polls
// at all once GRO is on.
func threadNAPI(ifname string) error {
	if err := switchGRO(ifname); err != nil {
		return err
	}
	if err := unix.Unshare(unix.CLONE_FS | unix.CLONE_NEWNS); err != nil {
		return err
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return err
	}
	if err := unix.Mount("sysfs", "/sys", "sysfs", 0, ""); err != nil {
		return err
	}
	return os.WriteFile("/sys/class/net/"+ifname+"/threaded", []byte("1"), 0o600)
}

func switchGRO(ifname string) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	value := struct{ cmd, data uint32 }{unix.ETHTOOL_SGRO, 1}
	req := struct {
		name [unix.IFNAMSIZ]byte
		data unsafe.Pointer
		_    [16]byte
	}{data: unsafe.Pointer(&value)}
	copy(req.name[:], ifname)
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(&req))); errno != 0 {
		return errno
	}
	return nil
}
