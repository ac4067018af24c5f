// SPDX-License-Identifier: Apache-2.0

package guest

import (
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-project/holdfast/internal/control"
)

// mainPID returns the daemon's process as systemd knows it, 0 if there is none.
func (c *cluster) mainPID() int {
	c.t.Helper()
	pid, err := strconv.Atoi(c.systemctl("show", "--property", "MainPID", "--value", "holdfastd"))
	c.must(err)
	return pid
}

// TestMember lives through what systemd does with a member, and through what happens to bonds and VLANs.
func TestMember(t *testing.T) {
	c := newCluster(t)
	if out, err := exec.Command("/usr/bin/systemd-analyze", "verify", "--man=no", "holdfastd.service", "holdfastd-leave.service").CombinedOutput(); err != nil {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
	c.must(os.WriteFile("/run/systemd/system/application.service", []byte("[Service]\nExecStart=/usr/bin/sleep infinity\n"), 0o644))
	c.systemctl("daemon-reload")
	c.systemctl("start", "application", "holdfastd", "holdfastd-leave")
	t.Cleanup(func() {
		if t.Failed() {
			log, _ := exec.Command("/usr/bin/journalctl", "-u", "holdfastd", "-o", "short-precise", "--no-pager").CombinedOutput()
			t.Logf("fw1 said:\n%s", log)
		}
		c.systemctl("stop", "holdfastd-leave", "holdfastd")
	})
	c.await("fw1 serves", func() bool { return c.state(first) == "ACTIVE" })
	c.startSecond()
	c.awaitStates("ACTIVE", "STANDBY")
	c.send()
	c.awaitTraffic()

	// That a restart interrupts nothing is shown where the processor is real (lab/scenarios/restart.txt): emulated, the daemon takes
	// longer to start than its lease lasts, and the other member takes over.
	t.Run("a restart", func(t *testing.T) {
		pid := c.mainPID()
		c.systemctl("restart", "holdfastd")
		if now := c.mainPID(); now == pid || now == 0 {
			t.Errorf("process %d was not replaced", pid)
		}
		c.awaitOneActive()
	})
	t.Run("reload", func(t *testing.T) { c.systemctl("reload", "holdfastd") })
	t.Run("a crash is healed", func(t *testing.T) {
		pid := c.mainPID()
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		c.await("another process", func() bool { p := c.mainPID(); return p != 0 && p != pid })
		c.awaitOneActive()
	})
	t.Run("the watchdog kills a daemon that hangs", func(t *testing.T) {
		pid := c.mainPID()
		if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		c.await("another process", func() bool { p := c.mainPID(); return p != 0 && p != pid })
		c.awaitOneActive()
	})
	c.serveFrom(first)
	t.Run("one cable of the bond", func(t *testing.T) {
		c.ip(c.sw, "link set p-e1 down")
		c.awaitTraffic()
		if got := c.state(first); got != "ACTIVE" {
			t.Errorf("fw1 is %s after losing one cable of two", got)
		}
		c.ip(c.sw, "link set p-e1 up")
	})
	t.Run("both cables of the bond", func(t *testing.T) {
		c.ip(c.sw, "link set p-e1 down")
		c.ip(c.sw, "link set p-e2 down")
		c.awaitStates("DOWN", "ACTIVE")
		c.ip(c.sw, "link set p-e1 up")
		c.ip(c.sw, "link set p-e2 up")
		c.awaitStates("STANDBY", "ACTIVE")
	})
	c.serveFrom(first)
	t.Run("one VLAN", func(t *testing.T) {
		c.ip(nil, "link set bond0.200 down")
		c.awaitStates("DOWN", "ACTIVE")
		c.ip(nil, "link set bond0.200 up")
		c.awaitStates("STANDBY", "ACTIVE")
	})
	c.serveFrom(first)
	t.Run("a unit that a monitor watches", func(t *testing.T) {
		c.systemctl("stop", "application")
		c.awaitStates("DOWN", "ACTIVE")
		if why, err := c.clients[first].Why(t.Context()); err != nil || !strings.Contains(why.Why, "application") {
			t.Errorf("why says %q, %v", why.Why, err)
		}
		c.systemctl("start", "application")
		c.awaitStates("STANDBY", "ACTIVE")
	})
	c.serveFrom(first)
	t.Run("fewer links than the bond needs", func(t *testing.T) {
		c.configure(strings.ReplaceAll(c.yaml, "trunk: core,", "trunk: core, bond: {min-links: 2},"))
		c.systemctl("reload", "holdfastd")
		if _, err := c.clients[second].Reload(t.Context()); err != nil {
			t.Fatal(err)
		}
		c.awaitStates("ACTIVE", "STANDBY")
		c.ip(c.sw, "link set p-e1 down")
		c.awaitStates("DOWN", "ACTIVE")
		if why, err := c.clients[first].Why(t.Context()); err != nil || !strings.Contains(why.Why, "1 of 2 links") {
			t.Errorf("why says %q, %v", why.Why, err)
		}
		c.ip(c.sw, "link set p-e1 up")
		c.awaitStates("STANDBY", "ACTIVE")
	})
	c.serveFrom(first)
	t.Run("leaving before a shutdown loses nothing", func(t *testing.T) {
		from := time.Now()
		c.systemctl("stop", "holdfastd-leave")
		c.await("fw2 serves", func() bool { return c.state(second) == "ACTIVE" })
		if lost := c.lost(from); lost != 0 {
			t.Errorf("%d packets lost", lost)
		}
		c.await("holdfastd has ended", func() bool {
			return c.systemctl("show", "--property", "ActiveState", "--value", "holdfastd") == "inactive"
		})
	})
}

// awaitOneActive waits until one member serves and the other stands by.
func (c *cluster) awaitOneActive() {
	c.t.Helper()
	c.await("one serves, one stands by", func() bool {
		a, b := c.state(first), c.state(second)
		return a == "ACTIVE" && b == "STANDBY" || a == "STANDBY" && b == "ACTIVE"
	})
}

// serveFrom brings the gateway to a member.
func (c *cluster) serveFrom(member string) {
	c.t.Helper()
	c.awaitOneActive()
	if c.state(member) == "ACTIVE" {
		return
	}
	if _, err := c.clients[member].Failover(c.t.Context(), control.FailoverRequest{To: member}); err != nil {
		c.t.Fatal(err)
	}
	c.awaitOneActive()
}
