// SPDX-License-Identifier: Apache-2.0

package members_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/holdfast-project/holdfast/internal/labtest"
	"github.com/holdfast-project/holdfast/lab/members"
	"github.com/holdfast-project/holdfast/lab/pcap"
)

// What members say to each other on a segment can be read by Wireshark with docs/ccp.lua and the cluster's key: every tag is right, a
// hand-over is there from YIELD to answer, and HELLOs open.
func TestCaptureIsReadable(t *testing.T) {
	labtest.Require(t, "tshark")
	ctx, c := boot(t, "capture")
	cfg := pcap.Config{Segment: "sync", Switch: c.Lab().Switch.NS.Do, Snap: 2048}
	for _, p := range c.Lab().PortsOn("sync") {
		cfg.Ports = append(cfg.Ports, pcap.Port{Name: p.Node, Interface: p.SwitchPort})
	}
	record, err := pcap.Start(ctx, cfg)
	if err != nil {
		t.Fatal(err)
	}
	for _, to := range []string{"fw2", "fw1"} {
		handOver(ctx, t, c, to)
	}
	file := filepath.Join(t.TempDir(), "sync.pcapng")
	if _, err := record.Stop(file); err != nil {
		t.Fatal(err)
	}

	seen := map[string]int{}
	for _, line := range strings.Split(strings.TrimRight(dissect(t, file, clusterKey(t, c.Options())), "\n"), "\n") {
		fields := strings.Split(line, "\t")
		if len(fields) != 5 {
			t.Fatalf("tshark printed %q", line)
		}
		kind, tag, seal, state, result := fields[0], fields[1], fields[2], fields[3], fields[4]
		seen["type "+kind]++
		if tag != "1" {
			t.Errorf("type %s: tag status %q, want 1 (right)", kind, tag)
		}
		if kind == "16" && (seal != "1" || state == "") {
			t.Errorf("a HELLO did not open: seal status %q, state %q", seal, state)
		}
		if kind == "4" && result == "1" {
			seen["granted"]++
		}
	}
	for _, want := range []string{"type 1", "type 2", "type 3", "type 4", "type 16", "granted"} {
		if seen[want] == 0 {
			t.Errorf("no frame of %s in the capture: %v", want, seen)
		}
	}
}

func dissect(t *testing.T, file, key string) string {
	t.Helper()
	args := []string{"-X", "lua_script:../../docs/ccp.lua", "-o", "holdfast.key:" + key, "-r", file, "-Y", "holdfast", "-T", "fields"}
	for _, f := range []string{"type", "tag.status", "seal.status", "state", "result"} {
		args = append(args, "-e", "holdfast."+f)
	}
	cmd := exec.Command("tshark", args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("tshark: %v\n%s", err, stderr.Bytes())
	}
	return string(out)
}

// clusterKey returns the cluster's key as the dissector takes it: hexadecimal.
func clusterKey(t *testing.T, o members.Options) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(o.Dir, "cluster.key"))
	if err != nil {
		t.Fatal(err)
	}
	_, encoded, _ := strings.Cut(strings.TrimSpace(string(text)), ":")
	key, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		t.Fatal(err)
	}
	return hex.EncodeToString(key)
}
