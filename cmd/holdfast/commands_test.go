// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/holdfast-project/holdfast/internal/config"
	"github.com/holdfast-project/holdfast/internal/control"
	"github.com/holdfast-project/holdfast/internal/control/controltest"
)

func TestVerbs(t *testing.T) {
	for _, k := range []struct{ args, want string }{
		{"holdfast failover to gw-b", "failover to gw-b for 0s"},
		{"holdfast failover to gw-b --for 10m", "failover to gw-b for 10m0s"},
		{"holdfast failover reset", "reset counter true history true"},
		{"holdfast failover reset --history", "reset counter false history true"},
		{"holdfast failover reset counter", "reset counter true history false"},
		{"holdfast failover reset history", "reset counter false history true"},
		{"holdfast failover reset all", "reset counter true history true"},
		{"holdfast admin down", "admin up false permanent false"},
		{"holdfast admin down --permanent", "admin up false permanent true"},
		{"holdfast admin up", "admin up true permanent false"},
		{"holdfast stop", "stop"},
		{"holdfast restart", "restart"},
		{"holdfast freeze", "freeze true for 0s"},
		{"holdfast freeze --for 2m", "freeze true for 2m0s"},
		{"holdfast sync reset", "sync reset"},
		{"holdfast unfreeze", "freeze false for 0s"},
		{"holdfast devices register db --timeout 30s --state init --persist", "device register db init timeout 30s persistent true: "},
		{"holdfast devices register db --timeout 30s --status init --persistent", "device register db init timeout 30s persistent true: "},
		{"holdfast devices report db problem --reason full", "device report db problem timeout 0s persistent false: full"},
		{"holdfast devices report db --status problem --reason full", "device report db problem timeout 0s persistent false: full"},
		{"holdfast devices unregister db --persist", "device unregister db  timeout 0s persistent true: "},
		{"holdfast devices unregister db", "device unregister db  timeout 0s persistent false: "},
		{"cphaprob -d db -t 30 -s init -p register", "device register db init timeout 30s persistent true: "},
		{"cphaprob -d db -t 0.5 -s ok register", "device register db ok timeout 500ms persistent false: "},
		{"cphaconf set_pnote -d db -t 30 -s init -p -g register", "device register db init timeout 30s persistent true: "},
		{"holdfast cphaconf set_pnote -d db -p unregister", "device unregister db  timeout 0s persistent true: "},
		{"cphaprob -d db -s ok report", "device report db ok timeout 0s persistent false: "},
	} {
		b := edge()
		socket, _ := controltest.Serve(t, b)
		out, errs, code := invoke(t.Context(), t, socket, false, strings.Fields(k.args)...)
		if got := b.Requests(); code != 0 || !reflect.DeepEqual(got, []string{k.want}) {
			t.Errorf("%s: asked %q, want %q; exit code %d %s", k.args, got, k.want, code, errs)
		}
		if want := "done: " + k.want + "\n"; out != want {
			t.Errorf("%s: printed %q, want %q", k.args, out, want)
		}
	}
}

func TestExitCodes(t *testing.T) {
	b := edge()
	socket, _ := controltest.Serve(t, b)
	for _, k := range []struct {
		args string
		code int
		says string
	}{
		{"holdfast nonsense", 2, `unknown command "nonsense" for "holdfast"; it has `},
		{"holdfast stat", 2, `unknown command "stat" for "holdfast", did you mean state or stop?; it has `},
		{"holdfast state --nonsense", 2, "unknown flag"},
		{"holdfast state extra", 2, "see holdfast state --help"},
		{"holdfast failover to", 2, "failover to with no argument; write: holdfast failover to NAME"},
		{"holdfast failover reset everything", 2, "choose counter, history, all"},
		{"holdfast failover history --since yesterday", 2, "write how long ago"},
		{"holdfast history --last=-1", 2, "choose 1 or more"},
		{"holdfast state -o xml", 2, "choose table or json"},
		{"holdfast state --watch=1ms", 2, "at least 100ms"},
		{"holdfast state --socket /nowhere/s", 1, "no daemon answers at /nowhere/s"},
		{"holdfast devices report db fine", 1, "choose ok, init, problem"},
		{"holdfast devices report db", 2, "write: holdfast devices report NAME ok|problem|init"},
		{"holdfast devices register", 2, "write: holdfast devices register NAME | -f FILE"},
		{"holdfast devices register db -f devices", 2, "write: holdfast devices register NAME | -f FILE"},
		{"holdfast devices register -f devices --state ok", 2, "[file state]"},
		{"holdfast devices register db --timeout 1ms", 1, "choose 100ms to 24h"},
		{"holdfast devices register a-name-of-more-than-thirty-two-bytes", 1, "use 1 to 32 printable ASCII characters"},
		{"holdfast devices register -f /nowhere/devices", 1, "no such file"},
		{"holdfast freeze --for 30", 2, "--for 30: write a number with its unit"},
		{"holdfast admin up --permanent", 2, "unknown flag"},
		{"holdfast freeze --for 1ms", 1, "choose 1s to 10m"},
		{"holdfast sync nonsense", 2, "unknown command"},
		{"holdfast sync verify a b", 2, "write: holdfast sync verify [MEMBER]"},
		{"holdfast why gw-z", 1, "the members are gw-b, gw-a, gw-c"},
		{"holdfast --socket /nowhere/s cphaprob state", 1, "no daemon answers at /nowhere/s"},
		{"cphaconf state", 2, "only set_pnote is known here"},
		{"cphaprob dance", 2, "cphaprob dance is not known here"},
		{"cphaprob -d", 2, "-d needs a value"},
		{"cphaprob -d x -t soon -s ok register", 2, "write seconds"},
	} {
		_, errs, code := invoke(t.Context(), t, socket, false, strings.Fields(k.args)...)
		if code != k.code || !strings.Contains(errs, k.says) {
			t.Errorf("%s: exit code %d, want %d; said %q, want %q", k.args, code, k.code, errs, k.says)
		}
	}
	b.Err = control.Refused("gw-b is DOWN", "see holdfast why")
	if _, errs, code := invoke(t.Context(), t, socket, false, "holdfast", "failover", "to", "gw-b"); code != 1 || errs != "holdfast: gw-b is DOWN; see holdfast why\n" {
		t.Errorf("a refusal: exit code %d, %q", code, errs)
	}
}

// TestHelpOfEveryCommand also sees to it that every command says in a line what it does.
func TestHelpOfEveryCommand(t *testing.T) {
	var walk func(*cobra.Command)
	walk = func(cmd *cobra.Command) {
		if cmd.Short == "" {
			t.Errorf("%s has no short help", cmd.CommandPath())
		}
		if !cmd.DisableFlagParsing {
			args := append(strings.Fields(cmd.CommandPath()), "--help")
			if out, errs, code := invoke(t.Context(), t, "/nowhere", false, args...); code != 0 || out == "" || errs != "" {
				t.Errorf("%q: exit code %d, %q", args, code, errs)
			}
		}
		for _, sub := range cmd.Commands() {
			walk(sub)
		}
	}
	walk(newRoot(environment{getenv: func(string) string { return "" }}))
}

func TestCompletion(t *testing.T) {
	socket, _ := controltest.Serve(t, edge())
	for _, k := range []struct {
		args []string
		want string
	}{
		{[]string{"failover", "to", ""}, "gw-a\tLOST\ngw-b\tACTIVE(!)\ngw-c\tDOWN\n:4\n"},
		{[]string{"devices", "report", ""}, "db\tproblem\nbatch\tok\n:4\n"},
		{[]string{"devices", "report", "db", ""}, "ok\nproblem\ninit\n:4\n"},
		{[]string{"devices", "unregister", ""}, "db\tproblem\nbatch\tok\n:4\n"},
		{[]string{"devices", "register", "x", "--state", ""}, "ok\nproblem\ninit\n:4\n"},
		{[]string{"why", ""}, "gw-a\tLOST\ngw-b\tACTIVE(!)\ngw-c\tDOWN\n:4\n"},
		{[]string{"devices", "register", ""}, ":4\n"},
		{[]string{"state", "-o", ""}, "table\njson\n:4\n"},
	} {
		out, _, code := invoke(t.Context(), t, socket, false, append([]string{"holdfast", "__complete"}, k.args...)...)
		if code != 0 || out != k.want {
			t.Errorf("%q offers %q, want %q", k.args, out, k.want)
		}
	}
	if out, _, _ := invoke(t.Context(), t, socket, false, "holdfast", "completion", "bash"); !strings.Contains(out, "__start_holdfast") {
		t.Errorf("no completion for bash: %q", out)
	}
}

// until is a writer that ends the command once enough has been printed.
type until struct {
	mu    sync.Mutex
	b     bytes.Buffer
	what  string
	count int
	then  context.CancelFunc
}

func (u *until) Write(p []byte) (int, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.b.Write(p)
	if strings.Count(u.b.String(), u.what) >= u.count {
		u.then()
	}
	return len(p), nil
}

func TestWatchAndFollow(t *testing.T) {
	socket, events := controltest.Serve(t, edge())
	events.Publish(control.Event{Time: noon, Code: "adopted", Reason: "started"})
	for _, k := range []struct {
		name     string
		terminal bool
		args     string
		what     string
		count    int
	}{
		{"redraws", true, "holdfast state --watch=100ms", "\x1b[H\x1b[2J", 3},
		{"a line of JSON each time", false, "holdfast state --watch=100ms -o json", "{\"cluster\":\"edge\"", 2},
		{"keeps on without a daemon", false, "holdfast state --watch=100ms --socket /nowhere/s", "no daemon answers", 2},
		{"follows", false, "holdfast events --follow", "started", 1},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		u := &until{what: k.what, count: k.count, then: cancel}
		code := run(ctx, strings.Fields(k.args), environment{out: u, err: u, zone: time.UTC, terminal: k.terminal,
			now: func() time.Time { return noon }, getenv: func(key string) string {
				if key == "HOLDFAST_SOCKET" {
					return socket
				}
				return ""
			}})
		if got := strings.Count(u.b.String(), k.what); code != 0 || got < k.count {
			t.Errorf("%s: exit code %d, %q came %d times, want %d:\n%s", k.name, code, k.what, got, k.count, u.b.String())
		}
		cancel()
	}
}

func TestKeys(t *testing.T) {
	path := filepath.Join(t.TempDir(), "cluster.key")
	call := func(want int, args ...string) string {
		t.Helper()
		out, errs, code := invoke(t.Context(), t, "", false, append([]string{"holdfast", "key"}, args...)...)
		if code != want {
			t.Fatalf("key %q: exit code %d, want %d: %s", args, code, want, errs)
		}
		return out + errs
	}
	call(0, "generate", path)
	first, err := config.LoadKey(path)
	if err != nil || len(first) != 1 || first[0].Number != 1 {
		t.Fatalf("%v %v", first, err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v %v", info.Mode(), err)
	}
	if out := call(1, "generate", path); !strings.Contains(out, "holdfast key next") {
		t.Errorf("an existing key: %s", out)
	}
	if out := call(1, "retire", path); !strings.Contains(out, "no successor") {
		t.Errorf("retire without a successor: %s", out)
	}
	call(0, "next", path)
	both, err := config.LoadKey(path)
	if err != nil || len(both) != 2 || both[0] != first[0] || both[1].Number != 2 || both[1].Secret == both[0].Secret {
		t.Fatalf("next: %v %v", both, err)
	}
	call(1, "next", path)
	call(0, "retire", path)
	last, err := config.LoadKey(path)
	if err != nil || len(last) != 1 || last[0] != both[1] {
		t.Errorf("retire: %v %v", last, err)
	}
}

func TestConfigCommands(t *testing.T) {
	reference := "../../deploy/cluster.yaml"
	out, errs, code := invoke(t.Context(), t, "", false, "holdfast", "config", "check", "--no-key", reference)
	if code != 0 || !strings.Contains(out, "is well: 2 members, 6 virtual addresses") {
		t.Errorf("check: %d %s %s", code, out, errs)
	}
	text, err := os.ReadFile(reference)
	if err != nil {
		t.Fatal(err)
	}
	changed := filepath.Join(t.TempDir(), "new.yaml")
	edit := strings.NewReplacer("id: 7", "id: 8", "profile: appliance", "profile: fast").Replace(string(text))
	if err := os.WriteFile(changed, []byte(edit), 0o600); err != nil {
		t.Fatal(err)
	}
	out, errs, code = invoke(t.Context(), t, "", false, "holdfast", "config", "diff", reference, changed)
	if code != 0 || !strings.Contains(out, "id: 7 -> 8") || !strings.Contains(out, "timers.dead: 30ms -> 9ms") {
		t.Errorf("diff: %d %s %s", code, out, errs)
	}
	out, errs, code = invoke(t.Context(), t, "", false, "holdfast", "config", "check", changed)
	if code != 1 || !strings.Contains(out, "holdfast key generate") || !strings.Contains(out, "1 problem\n") || errs != "" {
		t.Errorf("a missing key: %d %q %q", code, out, errs)
	}
}

func TestDefaultSocketIsTheConfigurations(t *testing.T) {
	c, err := config.Load("../../deploy/cluster.yaml")
	for _, p := range config.Problems(err) {
		if p.Path != "key-file" { // which the reference does not come with
			t.Error(p)
		}
	}
	if c == nil {
		text, _ := os.ReadFile("../../deploy/cluster.yaml")
		if c, err = config.Parse("cluster.yaml", text); err != nil {
			t.Fatal(err)
		}
	}
	if c.Control.Socket != control.DefaultSocket {
		t.Errorf("the CLI looks at %s, a member listens at %s", control.DefaultSocket, c.Control.Socket)
	}
}

// TestFlagsThatExclude: what was not understood exits with 2.
func TestFlagsThatExclude(t *testing.T) {
	socket, _ := controltest.Serve(t, edge())
	for _, args := range []string{"holdfast devices --problems --all", "holdfast devices register -f - --state ok"} {
		out, errs, code := invoke(t.Context(), t, socket, false, strings.Fields(args)...)
		if code != exitUsage || out != "" || !strings.Contains(errs, "none of the others can be") || !strings.Contains(errs, "--help") {
			t.Errorf("%s: exit code %d, %q, %q", args, code, out, errs)
		}
	}
}

// TestReloadInPart: what is in force and what of it this host has refused are both told, and the exit code says that something failed.
func TestReloadInPart(t *testing.T) {
	b := edge()
	b.ReloadV = control.ReloadResult{Applied: []control.Change{{Path: "timers.probe", From: "10ms", To: "5ms"}}, Refused: []control.Change{},
		Warnings: []string{"interface inside: no memory"}}
	socket, _ := controltest.Serve(t, b)
	out, errs, code := invoke(t.Context(), t, socket, false, "holdfast", "reload")
	if code != exitError || errs != "" || !strings.Contains(out, "timers.probe: 10ms -> 5ms\n") || !strings.Contains(out, "not everywhere") ||
		!strings.HasSuffix(out, "\n  interface inside: no memory\n") {
		t.Errorf("exit code %d, %q, %q", code, out, errs)
	}
}

// TestConfigDiff: what a reload would bring into force and what keeps it from doing anything are told apart.
func TestConfigDiff(t *testing.T) {
	text, err := os.ReadFile("../../deploy/cluster.yaml")
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir())
	for name, changed := range map[string]string{
		"old":   string(text),
		"live":  strings.Replace(string(text), "profile: appliance", "profile: virtual", 1),
		"never": strings.Replace(string(text), "id: 7\n", "id: 8\n", 1),
	} {
		if err := os.WriteFile(name, []byte(changed), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, k := range []struct{ args, says, lacks string }{
		{"holdfast config diff old old", "Nothing differs.", "reload"},
		{"holdfast config diff old live", "holdfast reload brings into force:\n  profile: appliance -> virtual", "Not live"},
		{"holdfast config diff old never", "Not live, so that holdfast reload would apply nothing at all:\n  id: 7 -> 8", "Nothing differs"},
	} {
		out, errs, code := invoke(t.Context(), t, "/nowhere", false, strings.Fields(k.args)...)
		if code != 0 || !strings.Contains(out, k.says) || strings.Contains(out, k.lacks) {
			t.Errorf("%s: exit code %d, %q, %q", k.args, code, out, errs)
		}
	}
}
