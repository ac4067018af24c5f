// SPDX-License-Identifier: Apache-2.0

package monitor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast-project/holdfast/internal/labtest"
	"github.com/holdfast-project/holdfast/internal/monitor/verdict"
)

// runners are one with control groups and one without.
func runners(t *testing.T, f func(t *testing.T, r *Runner)) {
	labtest.Require(t)
	t.Run("cgroup", func(t *testing.T) {
		r := NewRunner(discard)
		r.groups.once.Do(r.groups.open)
		if r.groups.dir == "" {
			labtest.Missing(t, "cgroup v2")
		}
		f(t, r)
		dir := r.groups.dir
		r.Close()
		if _, err := os.Stat(dir); !os.IsNotExist(err) {
			t.Errorf("%s is left: %v", dir, err)
		}
	})
	t.Run("session", func(t *testing.T) {
		r := NewRunner(discard)
		r.groups.once.Do(func() {})
		f(t, r)
		r.Close()
	})
}

func run(t *testing.T, r *Runner, limit time.Duration, c Command) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	return r.Run(ctx, "test", c)
}

func TestCommand(t *testing.T) {
	runners(t, func(t *testing.T, r *Runner) {
		for _, k := range []struct{ line, last, err string }{
			{"exit 0", "", ""},
			{"echo one; echo two; echo", "two", ""},
			{"echo broken >&2; exit 3", "broken", "exit status 3"},
			{"no-such-tool", "no-such-tool: not found", "exit status 127"},
			{"kill -9 $$", "", "ended by signal 9 (killed)"},
			{`printf 'a\033[31mb\377c'`, "a [31mb c", ""},
			{"# only a comment", "", ""},
		} {
			last, err := run(t, r, 30*time.Second, Command{Line: k.line})
			if !strings.HasSuffix(last, k.last) || k.last == "" && last != "" || fmt.Sprint(err) != k.err && (k.err != "" || err != nil) {
				t.Errorf("%s: %q, %v; want %q, %q", k.line, last, err, k.last, k.err)
			}
		}
	})
}

// TestSandbox: what a command has, and what it has not.
func TestSandbox(t *testing.T) {
	leak, err := unix.Open("/dev/null", unix.O_RDONLY, 0) // as a careless library would open it
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(leak)
	for _, what := range []int{unix.RLIMIT_RTPRIO, unix.RLIMIT_NICE, unix.RLIMIT_MEMLOCK} { // as the daemon's unit has them
		var before unix.Rlimit
		if unix.Prlimit(0, what, nil, &before) != nil || os.Geteuid() != 0 {
			continue
		}
		if err := unix.Prlimit(0, what, &unix.Rlimit{Cur: max(40, before.Cur), Max: max(40, before.Max)}, nil); err != nil {
			t.Logf("limit %d stays at %v: %v", what, before, err)
		}
		defer func() { _ = unix.Prlimit(0, what, &before, nil) }()
	}
	runners(t, func(t *testing.T, r *Runner) {
		for _, k := range []struct{ what, line, want, user string }{
			{"user", "id -u; id -un", "nobody", ""},
			{"another user", "id -un", "daemon", "daemon"},
			{"root if told so", "id -un", "root", "root"},
			{"groups", "id -G", "65534", ""},
			{"groups of another user", "id -G", "1", "daemon"},
			{"environment", "env | cut -d= -f1 | sort | tr '\\n' ' '", "HOLDFAST_X HOME LANG PATH PWD SHELL", ""},
			{"directory", "pwd", "/", ""},
			{"files", "ls /proc/self/fd | tr '\\n' ' '", "0 1 2 3", ""}, // 3 is ls's own
			{"input", "cat; echo empty", "empty", ""},
			{"session", "test $(cut -d' ' -f6 /proc/$$/stat) = $$ && echo own", "own", ""},
			{"priority", "cat; cut -d' ' -f19 /proc/$$/stat", "10", ""},
			{"memory", "cat /proc/self/oom_score_adj", "500", ""},
			{"processes", "ulimit -p 2>/dev/null || ulimit -u", "1024", ""},
			{"core", "ulimit -c", "0", ""},
			{"locked memory", "ulimit -l", "64", ""},
			{"real time", "ulimit -r", "0", ""},
			{"niceness", "while ! grep -q 'Max nice priority *0 *0 ' /proc/self/limits; do :; done; echo none", "none", ""}, // set once it runs
		} {
			last, err := run(t, r, 30*time.Second, Command{Line: k.line, User: k.user, Env: []string{"HOLDFAST_X=1"}})
			if err != nil || strings.TrimSpace(last) != k.want {
				t.Errorf("%s: %q, %v; want %q", k.what, last, err, k.want)
			}
		}
		if _, err := run(t, r, 30*time.Second, Command{Line: "true", User: "no-such-user"}); err == nil || !strings.Contains(err.Error(), "no-such-user") {
			t.Errorf("an unknown user: %v", err)
		}
		if _, err := run(t, r, 30*time.Second, Command{Line: "cat /etc/shadow"}); err == nil || errors.Is(err, ErrTimeout) {
			t.Error("nobody reads what is root's")
		}
	})
}

// living lists the processes that carry a text in their arguments.
func living(text string) (all []string) {
	entries, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, e := range entries {
		line, err := os.ReadFile(e)
		state, _ := os.ReadFile(filepath.Join(filepath.Dir(e), "stat"))
		if err == nil && strings.Contains(string(line), text) && !strings.Contains(string(state), ") Z ") {
			all = append(all, filepath.Base(filepath.Dir(e)))
		}
	}
	return all
}

// gone waits until no process carries the text: killed ones need a moment.
func gone(t *testing.T, text string) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); len(living(text)) > 0; {
		if time.Now().After(end) {
			t.Errorf("%v of %s still live", living(text), text)
			return
		}
	}
}

// TestHangingCommand: at its time all is killed, whatever it ignores and forks.
func TestHangingCommand(t *testing.T) {
	runners(t, func(t *testing.T, r *Runner) {
		token := fmt.Sprintf("31%d%d", os.Getpid(), len(t.Name()))
		for i, line := range []string{
			"exec sleep %s",
			"trap '' TERM INT HUP; sleep %s; sleep %s",
			"for i in 1 2 3 4 5 6 7 8; do (sleep %s & sleep %s) & done; wait",
			"set -m; sleep %s & sleep %s & wait", // groups of their own
			"nohup sleep %s & nohup sleep %s",
		} {
			line, began := strings.ReplaceAll(line, "%s", token), time.Now()
			_, err := run(t, r, 300*time.Millisecond, Command{Line: line})
			if !errors.Is(err, ErrTimeout) || time.Since(began) > 30*time.Second {
				t.Errorf("%d: %v after %v", i, err, time.Since(began))
			}
			gone(t, token)
		}
		// What a command leaves behind ends with it, also when it does not hang.
		if last, err := run(t, r, 30*time.Second, Command{Line: "sleep " + token + " & echo started"}); err != nil || last != "started" {
			t.Errorf("%q, %v", last, err)
		}
		gone(t, token)
	})
}

// TestEscapes: a process that made a session of its own is still in the control group.
func TestEscapes(t *testing.T) {
	labtest.Require(t, "setsid")
	r := NewRunner(discard)
	defer r.Close()
	r.groups.once.Do(r.groups.open)
	if r.groups.dir == "" {
		labtest.Missing(t, "cgroup v2")
	}
	token := fmt.Sprintf("32%d", os.Getpid())
	began := time.Now()
	_, err := run(t, r, 300*time.Millisecond, Command{Line: "setsid -f sleep " + token + "; sleep " + token})
	if !errors.Is(err, ErrTimeout) || time.Since(began) > 30*time.Second {
		t.Errorf("%v after %v", err, time.Since(began))
	}
	gone(t, token)
}

// TestEscapeWithoutGroups: what escapes keeps the pipe, but nobody waits for it.
func TestEscapeWithoutGroups(t *testing.T) {
	labtest.Require(t, "setsid")
	r := NewRunner(discard)
	r.groups.once.Do(func() {})
	token := fmt.Sprintf("33%d", os.Getpid())
	began := time.Now()
	last, err := run(t, r, 30*time.Second, Command{Line: "setsid -f sleep " + token + "; echo well"})
	if err != nil || last != "well" || time.Since(began) > 30*time.Second {
		t.Errorf("%q, %v after %v", last, err, time.Since(began))
	}
	for _, pid := range living(token) {
		var n int
		if _, err := fmt.Sscan(pid, &n); err == nil {
			_ = unix.Kill(n, unix.SIGKILL)
		}
	}
}

// TestGigabyte: what is printed is read and thrown away.
func TestGigabyte(t *testing.T) {
	runners(t, func(t *testing.T, r *Runner) {
		size := 200000000
		if r.groups.dir == "" { // the reader is the same one
			size /= 4
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		began := time.Now()
		last, err := run(t, r, time.Minute, Command{Line: fmt.Sprintf("head -c %d", size) + " /dev/zero | tr '\\0' x; echo; echo end; exit 1"})
		runtime.ReadMemStats(&after)
		if last != "end" || err == nil {
			t.Errorf("%q, %v", last, err)
		}
		if grown := after.TotalAlloc - before.TotalAlloc; grown > 4<<20 {
			t.Errorf("%d bytes were allocated", grown)
		}
		t.Logf("read in %v", time.Since(began))
		last, err = run(t, r, 300*time.Millisecond, Command{Line: "yes holdfast"})
		if !strings.HasPrefix(last, "holdfast") && last != "" || !errors.Is(err, ErrTimeout) {
			t.Errorf("%q, %v", last, err)
		}
		last, _ = run(t, r, 30*time.Second, Command{Line: "head -c 3000 /dev/zero | tr '\\0' y"})
		if last != strings.Repeat("y", lineMax)+"..." {
			t.Errorf("a long line: %q", last)
		}
	})
}

// TestLeftovers: what a daemon left that was killed is cleaned up by the next one.
func TestLeftovers(t *testing.T) {
	labtest.Require(t)
	own, err := ownCgroup()
	if err != nil {
		labtest.Missing(t, "cgroup v2")
	}
	dir := filepath.Join(own, groupPrefix+"4194305-x")
	if err := os.MkdirAll(filepath.Join(dir, "script-1"), 0o755); err != nil {
		t.Fatal(err)
	}
	clean(own)
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("%s is left: %v", dir, err)
	}
}

func TestScript(t *testing.T) {
	labtest.Require(t)
	good(t, Script{Command{Line: "echo fine"}})
	bad(t, Script{Command{Line: "echo queue is full; exit 2"}}, "queue is full (exit status 2)")
	bad(t, Script{Command{Line: "exit 2"}}, "exit status 2")
	bad(t, Script{Command{Line: "echo asking; sleep 60"}}, "killed at its timeout, last said: asking")
	bad(t, Script{Command{Line: "exit 0", User: "no-such-user"}}, "no-such-user")
	path := filepath.Join(t.TempDir(), "flag")
	w := serve(t, Spec{Check: Script{Command{Line: "test ! -e " + path}}, Interval: 20 * time.Millisecond, Fall: 2, Rise: 2})
	if err := os.Chmod(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Dir(filepath.Dir(path)), 0o755); err != nil {
		t.Fatal(err)
	}
	w.want(verdict.OK, "")
	touch(t, path)
	w.want(verdict.Problem, "exit status 1")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	w.want(verdict.OK, "")
}

// TestStopDuringCheck: a Set that ends takes its scripts with it.
func TestStopDuringCheck(t *testing.T) {
	labtest.Require(t)
	token := fmt.Sprintf("34%d", os.Getpid())
	s := Spec{Check: Script{Command{Line: "sleep " + token}}, Timeout: time.Minute}
	sound(&s)
	set := New([]Spec{s}, nil)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- set.Serve(ctx) }()
	for end := time.Now().Add(30 * time.Second); len(living(token)) == 0; {
		if time.Now().After(end) {
			t.Fatal("the script does not run")
		}
	}
	began := time.Now()
	cancel()
	if err := <-ended; err != nil || time.Since(began) > 30*time.Second {
		t.Errorf("%v after %v", err, time.Since(began))
	}
	gone(t, token)
}

// TestUnkillable: what cannot be killed holds up nobody, and is not started a second time meanwhile.
func TestUnkillable(t *testing.T) {
	r := NewRunner(discard)
	exited := make(chan error, 1)
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	killed := 0
	began := time.Now()
	if err := r.await(ctx, "test", exited, func() { killed++ }); !errors.Is(err, ErrTimeout) || killed != 1 || time.Since(began) > 30*time.Second {
		t.Errorf("%v, killed %d times, after %v", err, killed, time.Since(began))
	}
	r.groups.once.Do(func() {})
	if _, err := run(t, r, time.Second, Command{Line: "true"}); !errors.Is(err, ErrStuck) {
		t.Errorf("started beside one that cannot be killed: %v", err)
	}
	exited <- nil
	if _, err := run(t, r, 30*time.Second, Command{Line: "true"}); err != nil {
		t.Errorf("after it has ended: %v", err)
	}
}

// TestPopulatedGroup: what an earlier run left alive keeps its own command from starting, and no other one waits for it.
func TestPopulatedGroup(t *testing.T) {
	labtest.Require(t)
	r := NewRunner(discard)
	g, err := r.groups.make("test")
	if err != nil || g.path == "" {
		labtest.Missing(t, "cgroup v2")
	}
	defer r.Close()
	for range 4 {
		h, err := r.groups.make("other")
		if err != nil {
			t.Fatal(err)
		}
		_ = h.fd.Close()
		c := exec.Command("sleep", "600")
		c.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(g.fd.Fd())}
		r.groups.left[h.path] = "other"
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.Wait() }()
		defer func() { _ = c.Process.Kill() }()
	}
	g.remove()
	if _, err := run(t, r, time.Second, Command{Line: "true"}); !errors.Is(err, ErrStuck) {
		t.Errorf("started beside what is left: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if _, err := r.Run(ctx, "other", Command{Line: "true"}); err != nil {
		t.Errorf("another command: %v", err)
	}
	g.kill(0)
	for end := time.Now().Add(30 * time.Second); ; {
		_, err := run(t, r, time.Second, Command{Line: "true"})
		if err == nil {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("after all has ended: %v", err)
		}
	}
}
