// SPDX-License-Identifier: Apache-2.0

package machine

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/holdfast-project/holdfast/lab/netns"
	"github.com/holdfast-project/holdfast/lab/topology"
)

// initName is the zeroth argument by which this executable knows that it is to be a machine's init.
const initName = "holdfast-lab-init"

// init takes over when this executable was started as a machine's init. It is done here and not in a main function so
// that every program that boots machines, tests among them, can: a machine's init is the program itself.
func init() {
	if len(os.Args) == 2 && os.Args[0] == initName {
		os.Exit(runInit())
	}
}

func startInit(n *topology.Node) (cmd *exec.Cmd, mount, pid *os.File, err error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, nil, nil, err
	}
	defer r.Close()
	cmd = exec.Command("/proc/self/exe")
	cmd.Args = []string{initName, n.Name}
	cmd.Env = []string{"GOMAXPROCS=1", "GODEBUG=" + os.Getenv("GODEBUG")}
	cmd.ExtraFiles = []*os.File{w}
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWPID | unix.CLONE_NEWNS,
		Setpgid:    true, // a Ctrl-C at the terminal is the laboratory's, not the machines'
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
	if mount, err = os.Open(ns + "mnt"); err != nil {
		return nil, nil, nil, kill(err)
	}
	if pid, err = os.Open(ns + "pid"); err != nil {
		return nil, nil, nil, kill(errors.Join(err, mount.Close()))
	}
	return cmd, mount, pid, nil
}

func ignore(error) error { return nil }

// runInit is the init: it makes the mounts, says so on descriptor 3 and then collects the dead for ever.
func runInit() int {
	signal.Ignore(unix.SIGINT, unix.SIGTERM, unix.SIGHUP)
	report := os.NewFile(3, "report")
	if err := prepareMounts(); err != nil {
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

func prepareMounts() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	for _, m := range []struct{ kind, at string }{{"proc", "/proc"}, {"sysfs", "/sys"}, {"bpf", "/sys/fs/bpf"}} {
		if err := unix.Mount(m.kind, m.at, m.kind, unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
			return fmt.Errorf("mount %s at %s: %w", m.kind, m.at, err)
		}
	}
	return fakeBootID()
}

// fakeBootID gives the machine a boot id of its own, as software that remembers things across boots looks at it.
func fakeBootID() error {
	f, err := os.CreateTemp("", "boot_id-")
	if err != nil {
		return fmt.Errorf("boot id: %w", err)
	}
	defer os.Remove(f.Name()) // the mount keeps the file
	defer f.Close()
	var b [16]byte
	if _, err := rand.Read(b[:]); err != nil {
		return fmt.Errorf("boot id: %w", err)
	}
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80 // a random UUID
	if _, err := fmt.Fprintf(f, "%x-%x-%x-%x-%x\n", b[0:4], b[4:6], b[6:8], b[8:10], b[10:]); err != nil {
		return fmt.Errorf("boot id: %w", err)
	}
	if err := unix.Mount(f.Name(), "/proc/sys/kernel/random/boot_id", "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("boot id: %w", err)
	}
	return nil
}

// setDown is LinkSetDown by index, without asking for the link first.
func setDown(h *netlink.Handle, index int) error {
	return h.LinkSetDown(&netlink.Device{LinkAttrs: netlink.LinkAttrs{Index: index}})
}
