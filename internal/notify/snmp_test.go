// SPDX-License-Identifier: Apache-2.0

package notify

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"

	"github.com/holdfast-project/holdfast/internal/control"
	"github.com/holdfast-project/holdfast/internal/labtest"
	"github.com/holdfast-project/holdfast/members"
)

// takeover is an event with every field set.
var takeover = control.Event{
	Time: time.Date(2026, 11, 22, 10, 0, 0, 250_000_000, time.UTC), Code: "active", Number: 102, Severity: "info", Member: "gw-b", Peer: "gw-a",
	Interface: "inside", Device: "interface-active-check", From: "STANDBY", To: "ACTIVE(!)", Term: 8, GapMs: 31.5,
	Reason: `gw-a: "inside" has no carrier [eth1] \ größer`,
}

func mibs(t *testing.T) []string {
	t.Helper()
	dir, err := filepath.Abs("../../deploy/snmp")
	if err != nil {
		t.Fatal(err)
	}
	return []string{"-M", dir + ":" + filepath.Join(dir, "smi"), "-m", "HOLDFAST-MIB"}
}

// TestMIB has net-snmp read the module and compares what it finds with what is sent.
func TestMIB(t *testing.T) {
	labtest.Require(t, "snmptranslate")
	translate := func(args ...string) string {
		t.Helper()
		out, err := exec.Command("snmptranslate", append(append(mibs(t), "-Pwu"), args...)...).CombinedOutput()
		if err != nil {
			t.Fatalf("snmptranslate %s: %v %s", args, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	for _, c := range members.Codes() {
		if name := translate(notification(uint16(c))); !regexp.MustCompile(`^HOLDFAST-MIB::hf[A-Za-z]+Event$`).MatchString(name) {
			t.Errorf("code %d is sent as %s: HOLDFAST-MIB has no notification for it", c, name)
		}
	}
	text := translate("-Td", "HOLDFAST-MIB::hfStateEvent")
	objects := regexp.MustCompile(`(?s)OBJECTS\s*{(.*?)}`).FindStringSubmatch(text)
	if objects == nil {
		t.Fatalf("no objects in %s", text)
	}
	names := strings.Fields(strings.ReplaceAll(objects[1], ",", " "))
	sent := variables(&message{Event: takeover}, 0)[2:]
	if len(names) != len(sent) {
		t.Fatalf("%d objects in the module, %d are sent", len(names), len(sent))
	}
	for i, name := range names {
		if got := translate("-On", "HOLDFAST-MIB::"+name+".0"); got != sent[i].Name {
			t.Errorf("%s is %s in the module, %s is sent", name, got, sent[i].Name)
		}
	}
	if got := translate("-On", "HOLDFAST-MIB::holdfastMIB"); got != oidMIB {
		t.Errorf("the module is at %s, want %s", got, oidMIB)
	}
	for state, number := range states {
		if state == "" {
			continue
		}
		word := map[string]string{"ACTIVE(!)": "activeAttention"}[state]
		if word == "" {
			word = strings.ToLower(state)
		}
		if enum := translate("-Td", "HOLDFAST-MIB::hfTo"); !strings.Contains(enum, fmt.Sprintf("%s(%d)", word, number)) {
			t.Errorf("state %s is sent as %d: %s", state, number, enum)
		}
	}
}

func TestPivotIsNoState(t *testing.T) {
	for state, want := range map[string]int{"ACTIVE(P)": 4, "ACTIVE(!P)": 5, "ACTIVE(!)": 5, "": 0} {
		if got := stateValue(state); got != want {
			t.Errorf("%s: %d, want %d", state, got, want)
		}
	}
}

// trapd is net-snmp's receiver in a network namespace of its own, in which the calling test then is.
func trapd(t *testing.T, engine string) (lines *bufio.Scanner) {
	t.Helper()
	labtest.Require(t, "snmptrapd")
	runtime.LockOSThread() // for good: the thread ends with the test, and with it the namespace
	ns, err := netns.New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ns.Close() })
	lo, err := netlink.LinkByName("lo")
	if err == nil {
		err = netlink.LinkSetUp(lo)
	}
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	conf := filepath.Join(dir, "snmptrapd.conf")
	users := `authCommunity log gateways
createUser -e 0x` + engine + ` holdfast SHA-256 "auth passphrase" AES "priv passphrase"
createUser holdfast SHA-256 "auth passphrase" AES "priv passphrase"
createUser -e 0x` + engine + ` stronger SHA-512 "auth passphrase" AES-256 "priv passphrase"
authUser log holdfast priv
authUser log stronger priv
format2 %V\n%v\nend\n
`
	if err := os.WriteFile(conf, []byte(users), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("snmptrapd", append(mibs(t), "-f", "-C", "-c", conf, "-Lo", "udp:127.0.0.1:10162")...)
	cmd.Env = append(os.Environ(), "SNMP_PERSISTENT_DIR="+dir, "SNMPCONFPATH="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = cmd.Stdout
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	hung := time.AfterFunc(90*time.Second, func() { _ = cmd.Process.Kill() })
	t.Cleanup(func() { hung.Stop() })
	lines = bufio.NewScanner(out)
	for lines.Scan() {
		if strings.Contains(lines.Text(), "NET-SNMP version") {
			return lines
		}
		t.Log(lines.Text())
	}
	t.Fatal("snmptrapd has not started")
	return nil
}

func TestTrapsAreUnderstood(t *testing.T) {
	id := EngineID("edge", "gw-b")
	lines := trapd(t, hex.EncodeToString(id))
	dir := t.TempDir()
	received := func() string {
		var got strings.Builder
		for lines.Scan() {
			if lines.Text() == "end" {
				return got.String()
			}
			got.WriteString(lines.Text() + "\n")
		}
		return got.String()
	}
	v3 := Manager{Version: "3", User: "holdfast", Auth: "SHA-256", AuthPassphrase: "auth passphrase", Priv: "AES", PrivPassphrase: "priv passphrase"}
	strong := Manager{Version: "3", User: "stronger", Auth: "SHA-512", AuthPassphrase: "auth passphrase", Priv: "AES-256", PrivPassphrase: "priv passphrase"}
	inform := func(m Manager) Manager { m.Inform = true; return m }
	var said bytes.Buffer
	log := slog.New(slog.NewTextHandler(&said, nil))
	m := &message{takeover, origin{cluster: "edge", member: "gw-b"}}
	for _, k := range []struct {
		name string
		m    Manager
	}{
		{"2c trap", Manager{Version: "2c", Community: "gateways"}},
		{"2c inform", Manager{Version: "2c", Community: "gateways", Inform: true}},
		{"3 trap", v3}, {"3 trap after a restart", v3}, {"3 inform", inform(v3)}, {"3 trap, stronger", strong},
	} {
		out := &manager{spec: Spec{Kind: SNMP, Network: "udp", Address: "127.0.0.1:10162", Manager: k.m},
			engine: newEngine(filepath.Join(dir, "snmp-engine.json"), id, log)}
		for range 2 { // the second on the same connection
			if err := out.send(t.Context(), m); err != nil {
				t.Fatalf("%s: %v", k.name, err)
			}
			checkDecoded(t, k.name, received())
		}
		out.close()
	}
	if !regexp.MustCompile(`id=0x80007ed904` + hex.EncodeToString([]byte("edge/gw-b")) + ` boots=\d{8,10}\n`).MatchString(said.String()) {
		t.Errorf("the engine said %s", said.String())
	}
	out := &manager{spec: Spec{Kind: SNMP, Network: "udp", Address: "127.0.0.1:10162", Manager: inform(Manager{Version: "3", User: "holdfast",
		Auth: "SHA-256", AuthPassphrase: "another passphrase", Priv: "AES", PrivPassphrase: "priv passphrase"})}, engine: newEngine(filepath.Join(dir, "x"), id, log)}
	if err := out.send(t.Context(), m); err == nil {
		t.Error("an inform with a wrong passphrase was acknowledged")
	}
	out.close()
}

// checkDecoded compares what snmptrapd printed, by the names of the module.
func checkDecoded(t *testing.T, name, got string) {
	t.Helper()
	for _, want := range []string{
		" = OID: HOLDFAST-MIB::hfStateEvent", "HOLDFAST-MIB::hfCluster.0 = STRING: edge", "HOLDFAST-MIB::hfReporter.0 = STRING: gw-b",
		"HOLDFAST-MIB::hfMember.0 = STRING: gw-b", "HOLDFAST-MIB::hfEventCode.0 = Gauge32: 102", "HOLDFAST-MIB::hfEventName.0 = STRING: active",
		"HOLDFAST-MIB::hfSeverity.0 = INTEGER: info(1)", "HOLDFAST-MIB::hfFrom.0 = INTEGER: standby(3)", "HOLDFAST-MIB::hfTo.0 = INTEGER: activeAttention(5)",
		"HOLDFAST-MIB::hfReason.0 = STRING: " + takeover.Reason, "HOLDFAST-MIB::hfPeer.0 = STRING: gw-a", "HOLDFAST-MIB::hfInterface.0 = STRING: inside",
		"HOLDFAST-MIB::hfDevice.0 = STRING: interface-active-check", "HOLDFAST-MIB::hfTerm.0 = Gauge32: 8", "HOLDFAST-MIB::hfGap.0 = Gauge32: 31500 microseconds",
		"HOLDFAST-MIB::hfEventTime.0 = STRING: 2026-11-22,10:0:0.2,+0:0",
	} {
		if !strings.Contains(got, want+"\n") {
			t.Errorf("%s: snmptrapd did not print %q but\n%s", name, want, got)
		}
	}
}

func TestEngineID(t *testing.T) {
	if got := hex.EncodeToString(EngineID("edge", "gw-a")); got != "80007ed904"+hex.EncodeToString([]byte("edge/gw-a")) {
		t.Error(got)
	}
	if long := EngineID(strings.Repeat("c", 32), "gw-a"); len(long) != 21 || long[4] != 5 {
		t.Errorf("%x", long)
	}
}

func TestEngineBoots(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "snmp-engine.json")
	log := slog.New(slog.DiscardHandler)
	day := time.Duration(1_800_000_000) * time.Second // since 1970
	for _, k := range []struct {
		name, id string
		file     string // instead of what is there; "-": none
		day      time.Duration
		want     uint32
	}{
		{"first start", "one", "", day, 100_000_001},
		{"second start", "one", "", day, 100_000_002},
		{"the state directory was wiped", "one", "-", day + time.Hour, 100_003_601},
		{"counted from 1 by an earlier release", "one", `{"engine_id":"6f6e65","boots":4}`, day, 5},
		{"another name", "other", "", day, 100_000_001},
		{"damaged", "other", "nonsense", day, 100_000_001},
		{"a clock that has not been set", "one", "-", 0, 1},
		{"the end", "one", `{"engine_id":"6f6e65","boots":2147483647}`, day, 1<<31 - 1},
	} {
		var err error
		switch k.file {
		case "":
		case "-":
			err = os.Remove(path)
		default:
			err = os.WriteFile(path, []byte(k.file), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		e := newEngine(path, []byte(k.id), log)
		e.clock = func() (wall, running time.Duration) { return k.day, time.Hour }
		if got, seconds := e.now(); got != k.want || seconds != 0 {
			t.Errorf("%s: %d boots, want %d, and %d s", k.name, got, k.want, seconds)
		}
	}
}

// TestEngineTime: managers refuse what is more than 150 s behind their own idea of this engine's time.
func TestEngineTime(t *testing.T) {
	e := newEngine(filepath.Join(t.TempDir(), "snmp-engine.json"), []byte("one"), slog.New(slog.DiscardHandler))
	wall, running := 1_800_000_000*time.Second, time.Hour
	e.clock = func() (time.Duration, time.Duration) { return wall, running }
	first, _ := e.now()
	for _, k := range []struct {
		name                 string
		wall, running        time.Duration // what passes
		boots, engineSeconds uint32
	}{
		{"time passes", 1000 * time.Second, 1000 * time.Second, 0, 1000},
		{"a night suspended: the clock of the boot goes on", 8 * time.Hour, 8 * time.Hour, 0, 29800},
		{"the clock on the wall is set a little", 40 * time.Second, 0, 0, 29800},
		{"a virtual machine was paused", 200 * time.Second, 0, 1, 0},
		{"time passes", 10 * time.Second, 10 * time.Second, 1, 10},
		{"the clock on the wall is set back", -time.Hour, 0, 1, 10},
		{"paused again", 100 * time.Second, 5 * time.Second, 2, 0},
	} {
		wall += k.wall
		running += k.running
		if boots, seconds := e.now(); boots != first+k.boots || seconds != k.engineSeconds {
			t.Errorf("%s: %d boots more and %d s, want %d and %d", k.name, boots-first, seconds, k.boots, k.engineSeconds)
		}
	}
}

// TestEngineIsNamed: operators need the id before the first trap.
func TestEngineIsNamed(t *testing.T) {
	var said bytes.Buffer
	n := New(Options{Cluster: "edge", Member: "gw-b", Dir: t.TempDir(), Log: slog.New(slog.NewTextHandler(&said, nil))})
	spec := Spec{Name: "m", Kind: SNMP, Network: "udp", Address: "127.0.0.1:10162", Manager: Manager{Version: "2c"}}
	n.Configure([]Spec{spec})
	if said.Len() > 0 {
		t.Errorf("said %s", said.String())
	}
	spec.Manager.Version = "3"
	n.Configure([]Spec{spec})
	if !strings.Contains(said.String(), "id=0x80007ed904"+hex.EncodeToString([]byte("edge/gw-b"))) {
		t.Errorf("said %q", said.String())
	}
}
