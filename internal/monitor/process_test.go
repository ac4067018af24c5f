// SPDX-License-Identifier: Apache-2.0

package monitor

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast-project/holdfast/internal/monitor/verdict"
)

// spawn starts a process of a name. It is not waited for before the test ends: a zombie has ended all the same.
func spawn(t *testing.T, name string) *os.Process {
	t.Helper()
	sleep, err := exec.LookPath("sleep")
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(sleep)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, text, 0o755); err != nil {
		t.Fatal(err)
	}
	c := exec.Command(path, "600")
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.Process.Kill()
		_ = c.Wait()
	})
	// The name is there once the file runs.
	p := &procs{root: "/proc"}
	for end := time.Now().Add(30 * time.Second); !p.named(c.Process.Pid, name); {
		if time.Now().After(end) {
			t.Fatal("the process does not have its name")
		}
	}
	return c.Process
}

func kill(t *testing.T, p *os.Process) {
	t.Helper()
	if err := p.Kill(); err != nil {
		t.Fatal(err)
	}
}

func unique(prefix string) string { return fmt.Sprintf("%s%x", prefix, os.Getpid()&0xfffff) }

// TestProcessDies: the end of a process is noticed at once, though the interval is an hour.
func TestProcessDies(t *testing.T) {
	for _, name := range []string{unique("hfproc"), unique("hfprocwithalongname")} {
		p := spawn(t, name)
		w := serve(t, Spec{Check: Process{Name: name, Min: 1}})
		w.want(verdict.OK, "")
		began := time.Now()
		kill(t, p)
		w.want(verdict.Problem, "no process "+name)
		t.Logf("noticed after %v", time.Since(began))
	}
}

// TestDeathIsNotByTheWall: when a process ended is by the clock that looks at processes are by, and that nobody sets.
func TestDeathIsNotByTheWall(t *testing.T) {
	name := unique("hfdeath")
	cmd := spawn(t, name)
	p := newProcess(Process{Name: name, Min: 1}, &procs{root: "/proc"}, time.Hour)
	defer p.close()
	if r := p.check(t.Context()); r.Outcome != verdict.Good {
		t.Fatalf("%+v", r)
	}
	before := now()
	kill(t, cmd)
	<-p.news
	if died := p.died.Load(); died < before || died > now() {
		t.Errorf("died at %v, between %v and %v", time.Duration(died), time.Duration(before), time.Duration(now()))
	}
}

func TestProcessComesBack(t *testing.T) {
	name := unique("hfback")
	w := serve(t, Spec{Check: Process{Name: name, Min: 1}, Interval: 50 * time.Millisecond})
	w.want(verdict.Problem, "no process")
	spawn(t, name)
	w.want(verdict.OK, "")
}

// TestProcessIsNotPolled: while enough processes live, nobody looks through /proc.
func TestProcessIsNotPolled(t *testing.T) {
	name := unique("hfquiet")
	p := spawn(t, name)
	w := serve(t, Spec{Check: Process{Name: name, Min: 1}, Interval: 10 * time.Millisecond})
	w.checked("x", 20)
	scans := func() int {
		w.set.tools.procs.mu.Lock()
		defer w.set.tools.procs.mu.Unlock()
		return w.set.tools.procs.scans
	}
	if n := scans(); n != 1 {
		t.Errorf("%d looks at all processes in 20 checks", n)
	}
	kill(t, p)
	w.want(verdict.Problem, "")
	if n := scans(); n < 2 {
		t.Errorf("%d looks after its end", n)
	}
}

func TestProcessCounts(t *testing.T) {
	name := unique("hfcount")
	first := spawn(t, name)
	w := serve(t, Spec{Check: Process{Name: name, Min: 2, Max: 2}, Interval: 50 * time.Millisecond})
	w.want(verdict.Problem, "1 processes "+name+", fewer than 2")
	spawn(t, name)
	w.want(verdict.OK, "")
	spawn(t, name)
	w.want(verdict.Problem, "3 processes "+name+", more than 2")
	kill(t, first)
	w.want(verdict.OK, "")
}

func TestProcessOfPIDFile(t *testing.T) {
	name, path := unique("hfpid"), filepath.Join(t.TempDir(), "pid")
	write := func(text string) {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	bad(t, Process{PIDFile: path}, "no such file")
	write("none\n")
	bad(t, Process{PIDFile: path}, "holds no process number")
	write("4194304\n")
	bad(t, Process{PIDFile: path}, "does not run")
	write("1\n") // somebody else took the number
	bad(t, Process{PIDFile: path, Name: name}, "is not a running "+name)
	p := spawn(t, name)
	write(strconv.Itoa(p.Pid) + "\n")
	w := serve(t, Spec{Check: Process{PIDFile: path, Name: name}}, Spec{Name: "y", Check: Process{PIDFile: path}, Interval: 50 * time.Millisecond})
	w.want(verdict.OK, "")
	w.want(verdict.OK, "")
	kill(t, p)
	w.want(verdict.Problem, "")
	w.want(verdict.Problem, "")
	write(strconv.Itoa(spawn(t, name).Pid))
	if r := w.want(verdict.OK, ""); r.Monitor != "y" {
		t.Errorf("%+v", r)
	}
}

// TestHostilePIDFile: whoever may write the file makes the daemon neither wait nor read without end.
func TestHostilePIDFile(t *testing.T) {
	dir := t.TempDir()
	fifo, long := filepath.Join(dir, "fifo"), filepath.Join(dir, "long")
	if err := unix.Mkfifo(fifo, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(long, fmt.Appendf(nil, "%d%*s", os.Getpid(), 1<<16, "x"), 0o644); err != nil {
		t.Fatal(err)
	}
	bad(t, Process{PIDFile: fifo}, "is not a regular file")
	bad(t, Process{PIDFile: "/dev/zero"}, "is not a regular file")
	good(t, Process{PIDFile: long}) // the number is in what is read of it
	if text, err := head(long, pidRead); err != nil || len(text) != pidRead {
		t.Errorf("%d bytes read, %v", len(text), err)
	}
}
