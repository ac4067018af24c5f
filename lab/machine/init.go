// SPDX-License-Identifier: Apache-2.0

package machine

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/holdfast-project/holdfast/lab/cgroup"
	"github.com/holdfast-project/holdfast/lab/netns"
	"github.com/holdfast-project/holdfast/lab/topology"
)

// initName is the zeroth argument by which this executable knows that it is to be a machine's init.
// Its arguments are the node's name and whether the machine shares the host's processes.
const (
	initName   = "holdfast-lab-init"
	sharedPIDs = "shared"
	ownPIDs    = "own"
)

// init takes over when this executable was started as a machine's init. It is done here and not in a main function so
// that every program that boots machines, tests among them, can: a machine's init is the program itself.
func init() {
	if len(os.Args) == 3 && os.Args[0] == initName {
		os.Exit(runInit(os.Args[2] == sharedPIDs))
	}
}

func startInit(n *topology.Node, group *cgroup.Group, shared bool) (cmd *exec.Cmd, mnt, pid *os.File, err error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, nil, nil, err
	}
	defer r.Close()
	cmd = exec.Command("/proc/self/exe")
	cmd.Args = []string{initName, n.Name, ownPIDs}
	cmd.Env = []string{"GOMAXPROCS=1", "GODEBUG=" + os.Getenv("GODEBUG")}
	cmd.ExtraFiles = []*os.File{w}
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWPID | unix.CLONE_NEWNS,
		Setpgid:    true, // a Ctrl-C at the terminal is the laboratory's, not the machines'
	}
	group.Enter(cmd.SysProcAttr)
	if shared {
		cmd.Args[2] = sharedPIDs
		cmd.SysProcAttr.Cloneflags &^= unix.CLONE_NEWPID
	}
	err = netns.Start(netns.Place{Net: n.NS}, cmd)
	w.Close()
	if err != nil {
		return nil, nil, nil, err
	}
	kill := func(err error) error { return errors.Join(err, cmd.Process.Kill(), ignore(cmd.Wait())) }
	report := make([]byte, 512)
	// One byte says that the mounts are there; anything longer says why they are not.
	if k, readErr := r.Read(report); k != 1 {
		return nil, nil, nil, kill(fmt.Errorf("its init: %s (%w)", report[:k], errors.Join(readErr)))
	}
	ns := fmt.Sprintf("/proc/%d/ns/", cmd.Process.Pid)
	if mnt, err = os.Open(ns + "mnt"); err != nil {
		return nil, nil, nil, kill(err)
	}
	if shared {
		return cmd, mnt, nil, nil
	}
	if pid, err = os.Open(ns + "pid"); err != nil {
		return nil, nil, nil, kill(errors.Join(err, mnt.Close()))
	}
	return cmd, mnt, pid, nil
}

func ignore(error) error { return nil }

// runInit is the init: it makes the mounts, says so on descriptor 3 and then collects the dead for ever.
func runInit(shared bool) int {
	signal.Ignore(unix.SIGINT, unix.SIGTERM, unix.SIGHUP)
	report := os.NewFile(3, "report")
	if err := prepareMounts(shared); err != nil {
		fmt.Fprint(report, err)
		return 1
	}
	fmt.Fprint(report, "1")
	report.Close()
	dead := make(chan os.Signal, 1)
	signal.Notify(dead, unix.SIGCHLD)
	for {
		// Children that came before Notify are collected in the first round.
		for {
			pid, err := unix.Wait4(-1, nil, unix.WNOHANG, nil)
			if pid <= 0 && !errors.Is(err, unix.EINTR) {
				break
			}
		}
		<-dead
	}
}

func prepareMounts(shared bool) error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	// What is mounted there must not show through in lists of mounts.
	if err := unix.Unmount("/sys", unix.MNT_DETACH); err != nil && !errors.Is(err, unix.EINVAL) {
		return fmt.Errorf("unmount the host's /sys: %w", err)
	}
	mounts := []struct{ kind, at string }{{"proc", "/proc"}, {"sysfs", "/sys"}, {"tmpfs", scratch}}
	if shared {
		mounts = mounts[1:]
	}
	for _, m := range mounts {
		if err := mount(m.kind, m.at); err != nil {
			return err
		}
	}
	if err := fakeBootID(); err != nil {
		return err
	}
	if err := mount("cgroup2", "/sys/fs/cgroup"); err != nil && !errors.Is(err, unix.ENODEV) && !errors.Is(err, unix.EPERM) {
		return err
	}
	return mount("bpf", "/sys/fs/bpf") // hides the scratch
}

// scratch is where a file of the machine's own can be that nobody has to remove: a file system under that of BPF.
const scratch = "/sys/fs/bpf"

func mount(kind, at string) error {
	if err := unix.Mount(kind, at, kind, unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return fmt.Errorf("mount %s at %s: %w", kind, at, err)
	}
	return nil
}

// fakeBootID gives the machine a boot id of its own, as software that remembers things across boots looks at it.
func fakeBootID() error {
	var b [16]byte
	if _, err := rand.Read(b[:]); err != nil {
		return fmt.Errorf("boot id: %w", err)
	}
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80 // a random UUID
	id := fmt.Sprintf("%x-%x-%x-%x-%x\n", b[0:4], b[4:6], b[6:8], b[8:10], b[10:])
	file := filepath.Join(scratch, "boot_id")
	if err := os.WriteFile(file, []byte(id), 0o444); err != nil {
		return fmt.Errorf("boot id: %w", err)
	}
	if err := unix.Mount(file, "/proc/sys/kernel/random/boot_id", "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("boot id: %w", err)
	}
	return nil
}

// setDown is LinkSetDown by index, without asking for the link first.
func setDown(h *netlink.Handle, index int) error {
	return h.LinkSetDown(&netlink.Device{LinkAttrs: netlink.LinkAttrs{Index: index}})
}
