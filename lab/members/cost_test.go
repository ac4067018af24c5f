// SPDX-License-Identifier: Apache-2.0

package members_test

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-project/holdfast/internal/control"
	"github.com/holdfast-project/holdfast/internal/labtest"
	"github.com/holdfast-project/holdfast/lab/members"
)

// TestManyDevicesAndMonitors: with 200 registered devices, each reported by a request of its own every five seconds, and 50 monitors a
// member takes little of a core, pulse included.
func TestManyDevicesAndMonitors(t *testing.T) {
	labtest.Require(t)
	// The bound catches a cost that grows, on a slow host too; the figure is bench-devices'.
	const devices, monitors, most = 200, 50, 20.0
	extra := "monitors:\n"
	for i := range monitors {
		extra += fmt.Sprintf("  - {name: monitor-%d, ", i) + [...]string{
			"type: file, path: /proc/self/stat}\n", "type: disk, path: /, min-free: 0}\n",
			"type: process, process: holdfastd}\n", "type: interface, interface: ext, max-errors: 1000}\n", "type: script, command: \"true\", interval: 5s}\n",
		}[i%5]
	}
	ctx, c := bootWith(t, "hfcost", members.Options{Extra: extra})
	m, err := c.Member("fw1")
	if err != nil {
		t.Fatal(err)
	}
	all := make([]control.DeviceRequest, devices)
	for i := range all {
		all[i] = control.DeviceRequest{Action: "register", Name: fmt.Sprint("device-", i), Status: "ok", Timeout: control.Duration(time.Minute)}
		if _, err := m.Client().Device(ctx, all[i]); err != nil {
			t.Fatal(err)
		}
		all[i].Action = "report"
	}
	before := cpuTime(t, m.PID())
	tick := time.NewTicker(5 * time.Second / devices)
	defer tick.Stop()
	began := time.Now()
	for i := range devices {
		<-tick.C
		if _, err := m.Client().Device(ctx, all[i%devices]); err != nil {
			t.Fatal(err)
		}
	}
	used := (cpuTime(t, m.PID()) - before).Seconds() / time.Since(began).Seconds() * 100
	t.Logf("%.1f %% of a core", used)
	if used > most {
		t.Errorf("%d devices and %d monitors take %.1f %% of a core, want at most %.0f %%", devices, monitors, used, most)
	}
	list, err := m.Client().Devices(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if len(list.Devices) < devices+monitors {
		t.Errorf("%d devices are there", len(list.Devices))
	}
}

// cpuTime is what a daemon and its pulse have used, by the scheduler's count, children that ended not included.
func cpuTime(t *testing.T, pid int) time.Duration {
	t.Helper()
	sum := time.Duration(0)
	children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err != nil {
		t.Fatal(err)
	}
	pids := []string{strconv.Itoa(pid)}
	for _, child := range strings.Fields(string(children)) {
		if line, err := os.ReadFile("/proc/" + child + "/cmdline"); err == nil && bytes.Contains(line, []byte("\x00pulse\x00")) {
			pids = append(pids, child)
		}
	}
	for _, p := range pids {
		tasks, err := os.ReadDir("/proc/" + p + "/task")
		if err != nil {
			t.Fatal(err)
		}
		for _, task := range tasks {
			text, err := os.ReadFile("/proc/" + p + "/task/" + task.Name() + "/schedstat")
			if err != nil {
				continue // it has just ended
			}
			ns, err := strconv.ParseInt(strings.Fields(string(text))[0], 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			sum += time.Duration(ns)
		}
	}
	return sum
}
