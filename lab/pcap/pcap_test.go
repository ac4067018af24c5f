// SPDX-License-Identifier: Apache-2.0

package pcap_test

import (
	"context"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/holdfast-project/holdfast/lab/pcap"
	"github.com/holdfast-project/holdfast/lab/topology"
	"github.com/holdfast-project/holdfast/lab/topology/topologytest"
	"github.com/holdfast-project/holdfast/lab/traffic"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// record sends some traffic through fw1 and records the segment ext.
func record(t *testing.T, change func(*pcap.Config)) (path string, sent traffic.Report, stats pcap.Stats) {
	t.Helper()
	l := topologytest.Routed(t, "pcap", "tshark")
	cfg := pcap.Config{Segment: "ext", Switch: l.Switch.NS.Do}
	for _, p := range l.PortsOn("ext") {
		cfg.Ports = append(cfg.Ports, pcap.Port{Name: p.Node, Interface: p.SwitchPort})
	}
	if change != nil {
		change(&cfg)
	}
	rec, err := pcap.Start(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	run, err := traffic.Start(context.Background(), traffic.Config{A: endpoint(t, l, "client1"), B: endpoint(t, l, "server1")})
	if err != nil {
		t.Fatal(err)
	}
	<-time.After(200 * time.Millisecond)
	sent, err = run.Stop(0)
	if err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(t.TempDir(), "ext.pcapng")
	if stats, err = rec.Stop(path); err != nil {
		t.Fatal(err)
	}
	return path, sent, stats
}

func endpoint(t *testing.T, l *topology.Lab, name string) traffic.Endpoint {
	t.Helper()
	n := topologytest.Node(t, l, name)
	return traffic.Endpoint{Name: name, In: n.NS.Do, Addr4: n.Ports[0].V4.Addr(), Addr6: n.Ports[0].V6.Addr()}
}

// tshark reads fields of the packets that match a display filter.
func tshark(t *testing.T, path, filter string, fields ...string) [][]string {
	t.Helper()
	args := []string{"-r", path, "-Y", filter, "-T", "fields"}
	for _, f := range fields {
		args = append(args, "-e", f)
	}
	out, err := exec.Command("tshark", args...).Output()
	if err != nil {
		t.Fatalf("tshark %v: %v", args, err)
	}
	var rows [][]string
	for line := range strings.Lines(string(out)) {
		rows = append(rows, strings.Split(strings.TrimRight(line, "\n"), "\t"))
	}
	return rows
}

func TestTsharkReadsARecording(t *testing.T) {
	path, sent, stats := record(t, nil)
	if stats.Missed != 0 || stats.Evicted != 0 {
		t.Errorf("%+v", stats)
	}
	if all := tshark(t, path, "frame", "frame.number"); len(all) != stats.Recorded {
		t.Errorf("tshark reads %d frames of %d", len(all), stats.Recorded)
	}
	// Every packet is there once, at the port of the one who sent it into this segment, in order of time.
	for _, f := range sent.Flows {
		filter := "ip && udp.dstport == 9100"
		if f.Family == 6 {
			filter = "ipv6 && udp.dstport == 9100"
		}
		port := "fw1"
		if f.Forward {
			port = "client1"
		}
		rows := tshark(t, path, filter+` && frame.interface_name == "`+port+`"`, "frame.time_epoch")
		if len(rows) != f.Sent {
			t.Errorf("%s: %d packets recorded at %s, %d sent", f.Flow, len(rows), port, f.Sent)
		}
		before := 0.0
		for _, r := range rows {
			at, err := strconv.ParseFloat(r[0], 64)
			if err != nil {
				t.Fatal(err)
			}
			if at < before {
				t.Fatalf("%s: %v after %v", f.Flow, at, before)
			}
			before = at
		}
		if age := float64(time.Now().UnixNano())/1e9 - before; age < 0 || age > 60 {
			t.Errorf("%s: the last packet is %v s old", f.Flow, age)
		}
	}
}

func TestRecordingIsBounded(t *testing.T) {
	const limit, snap = 20000, 64
	path, _, stats := record(t, func(c *pcap.Config) { c.MaxBytes, c.Snap = limit, snap })
	if stats.Evicted == 0 || stats.Recorded == 0 || stats.Recorded > limit/64 {
		t.Errorf("%+v with a bound of %d bytes", stats, limit)
	}
	for _, r := range tshark(t, path, "frame", "frame.cap_len") {
		if n, err := strconv.Atoi(r[0]); err != nil || n > snap {
			t.Fatalf("captured length %s, want at most %d", r[0], snap)
		}
	}
}
