// SPDX-License-Identifier: Apache-2.0

package node

import (
	"strings"
	"testing"
	"time"

	"github.com/holdfast-project/holdfast/internal/control"
	"github.com/holdfast-project/holdfast/members/device"
)

// TestDeviceOfMonitorAndProgram: a device is a monitor's or a program's. Whoever comes second is refused; a registration on disk gives
// way at the start.
func TestDeviceOfMonitorAndProgram(t *testing.T) {
	n := referenceNode(t, "gw-a") // monitor "bgpd" feeds the device of its name
	r := device.NewRegistry(0)
	if err := clash(n.cfg, "gw-a", r.Get); err != nil {
		t.Errorf("no program has registered anything: %v", err)
	}
	if err := r.RegisterBy(1, "bgpd", "bgpd", 0, device.OK, ""); err != nil {
		t.Fatal(err)
	}
	if err := clash(n.cfg, "gw-a", r.Get); err != nil {
		t.Errorf("the monitor reports its own device: %v", err)
	}
	if err := r.Register(2, "bgpd", time.Second, device.OK, ""); err != nil {
		t.Fatal(err)
	}
	if err := clash(n.cfg, "gw-a", r.Get); err == nil || !strings.Contains(err.Error(), "bgpd") {
		t.Errorf("a program has registered it: %v", err)
	}
	if err := n.taken(device.Device{Name: "bgpd"}); err == nil {
		t.Error("a program may register the device of a monitor that has not reported yet")
	}
	if err := n.taken(device.Device{Name: "other"}); err != nil {
		t.Errorf("a name of its own: %v", err)
	}

	n.store = remember(t, t.TempDir())
	if err := n.store.keepDevices([]control.DeviceRequest{register("bgpd", "ok", true), register("db", "ok", true)}); err != nil {
		t.Fatal(err)
	}
	if err := n.dropTaken(); err != nil {
		t.Fatal(err)
	}
	if n.store.keeps("bgpd") || !n.store.keeps("db") {
		t.Errorf("on disk: %v", n.store.kept())
	}
}
