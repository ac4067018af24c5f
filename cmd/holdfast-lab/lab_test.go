// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-project/holdfast/internal/labtest"
)

// stand is where a test has a laboratory of its own: binaries, and a root that nobody else uses.
type stand struct {
	t         *testing.T
	bin, root string
}

// programs is the directory of the binaries, which all tests share; the first one that needs them has them built.
var programs struct {
	dir   string
	built sync.Once
	err   error
}

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "hfl-")
	if err != nil {
		panic(err)
	}
	programs.dir = dir
	code := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

func newStand(t *testing.T) stand {
	t.Helper()
	labtest.Require(t, "go")
	programs.built.Do(func() {
		cmd := exec.Command("go", "build", "-o", programs.dir, ".", "../holdfastd")
		if out, err := cmd.CombinedOutput(); err != nil {
			programs.err = fmt.Errorf("%w: %s", err, out)
		}
	})
	if programs.err != nil {
		t.Fatal(programs.err)
	}
	root, err := os.MkdirTemp("/run", "hfl-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(root); err != nil {
			t.Error(err)
		}
	})
	return stand{t, programs.dir, root}
}

func (b stand) command(args ...string) *exec.Cmd {
	return exec.Command(filepath.Join(b.bin, "holdfast-lab"), append(args, "--root", b.root, "--bin", b.bin)...)
}

func (b stand) scenario(text string) string {
	b.t.Helper()
	path := filepath.Join(b.t.TempDir(), "scene.txt")
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		b.t.Fatal(err)
	}
	return path
}

// processes lists processes that have the laboratory's root or its init's name in their arguments and are this test's.
func (b stand) processes() []string {
	var out []string
	dirs, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, d := range dirs {
		if args, err := os.ReadFile(d); err == nil && bytes.Contains(args, []byte(b.root)) {
			out = append(out, strings.ReplaceAll(string(args), "\x00", " "))
		}
	}
	return out
}

// left says what of a laboratory is still in the kernel as seen from here.
func (b stand) left() error {
	if p := b.processes(); len(p) > 0 {
		return fmt.Errorf("processes: %v", p)
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return err
	}
	if bytes.Contains(mounts, []byte(b.root)) {
		return errors.New("a mount is left")
	}
	links, err := net.Interfaces()
	if err != nil {
		return err
	}
	for _, l := range links {
		if strings.HasPrefix(l.Name, "fw") || strings.HasSuffix(l.Name, "-ext") {
			return fmt.Errorf("interface %s is left", l.Name)
		}
	}
	if pins, _ := filepath.Glob("/sys/fs/bpf/holdfast/*"); len(pins) > 0 {
		return fmt.Errorf("pins: %v", pins)
	}
	return nil
}

func (b stand) await(what string, ok func() error) {
	b.t.Helper()
	deadline := time.After(30 * time.Second)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := ok()
		if err == nil {
			return
		}
		select {
		case <-deadline:
			b.t.Fatalf("waited in vain for %s: %v", what, err)
		case <-tick.C:
		}
	}
}

// running waits until the laboratory has daemons.
func (b stand) running() {
	b.t.Helper()
	b.await("two daemons", func() error {
		count := 0
		for _, p := range b.processes() {
			if strings.Contains(p, "holdfastd -config") {
				count++
			}
		}
		if count < 2 {
			return fmt.Errorf("%d run", count)
		}
		return nil
	})
}

func TestKilledLaboratoryLeavesNothing(t *testing.T) {
	b := newStand(t)
	scene := b.scenario("about it is killed\nsteps\n wait until at-rest within 20s\n stop fw1\n wait 10m\n")
	for _, kill := range []struct {
		name string
		sig  os.Signal
	}{{"interrupt", os.Interrupt}, {"kill", os.Kill}} {
		t.Run(kill.name, func(t *testing.T) {
			cmd := b.command("run", scene)
			var out bytes.Buffer
			cmd.Stdout, cmd.Stderr = &out, &out
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			b.running()
			if err := cmd.Process.Signal(kill.sig); err != nil {
				t.Fatal(err)
			}
			err := cmd.Wait()
			if err == nil {
				t.Errorf("it ended well: %s", out.String())
			}
			b.await("everything to be gone", b.left)
			entries, err := os.ReadDir(b.root)
			if err != nil {
				t.Fatal(err)
			}
			switch {
			case kill.sig == os.Interrupt && len(entries) > 0:
				t.Errorf("files are left after an interrupt: %v\n%s", entries, out.String())
			case kill.sig == os.Kill:
				// The next laboratory, or clean, removes what only a living process can.
				text, err := b.command("clean").CombinedOutput()
				if err != nil || !strings.Contains(string(text), "removed") {
					t.Errorf("clean: %v: %s", err, text)
				}
				if entries, _ := os.ReadDir(b.root); len(entries) > 0 {
					t.Errorf("files are left after clean: %v", entries)
				}
			}
		})
	}
}

func TestUpDoExecDown(t *testing.T) {
	b := newStand(t)
	scene := b.scenario("about it stays\nsteps\n start-from fw2\n expect active fw1\n")
	out := func(args ...string) (string, error) {
		ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
		defer cancel()
		c := exec.CommandContext(ctx, filepath.Join(b.bin, "holdfast-lab"), append([]string{"--root", b.root, "--bin", b.bin}, args...)...)
		text, err := c.CombinedOutput()
		return string(text), err
	}
	must := func(want string, args ...string) {
		t.Helper()
		if text, err := out(args...); err != nil || !strings.Contains(text, want) {
			t.Errorf("%v: %v: %s, want %q", args, err, text, want)
		}
	}
	if text, err := out("exec", "fw1", "--", "true"); err == nil || !strings.Contains(text, "holdfast-lab up FILE") {
		t.Errorf("without a laboratory: %v: %s", err, text)
	}
	must("is open", "up", scene)
	must("up scene", "list")
	must("fw2", "do", "expect active fw2")
	must("ext", "exec", "fw1", "--", "ls", "/sys/class/net")
	must("link/ether", "exec", "client1", "--", "ip", "link", "show", "ext")
	must("power off", "do", "power-off", "fw1")
	if text, err := out("exec", "fw1", "--", "true"); err == nil || !strings.Contains(text, "is off") {
		t.Errorf("on a machine that is off: %v: %s", err, text)
	}
	if text, err := out("do", "power-off", "fw9"); err == nil || !strings.Contains(text, `no member "fw9"`) {
		t.Errorf("a step with a mistake: %v: %s", err, text)
	}
	var exit *exec.ExitError
	if _, err := out("exec", "fw2", "--", "sh", "-c", "exit 7"); !errors.As(err, &exit) || exit.ExitCode() != 7 {
		t.Errorf("exit code of a command: %v", err)
	}
	must("", "down")
	b.await("everything to be gone", b.left)
	if entries, _ := os.ReadDir(b.root); len(entries) > 0 {
		t.Errorf("files are left: %v", entries)
	}
}

func TestInterruptedUpLeavesNothing(t *testing.T) {
	b := newStand(t)
	cmd := b.command("up", b.scenario("about it is never open\nsteps\n start-from fw1\n"))
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	b.running()
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err == nil || !strings.Contains(out.String(), "nothing is left behind") {
		t.Errorf("%v: %s", err, out.String())
	}
	if entries, _ := os.ReadDir(b.root); len(entries) > 0 {
		t.Errorf("files are left: %v", entries)
	}
	b.await("everything to be gone", b.left)
}

func TestRunWritesReports(t *testing.T) {
	b := newStand(t)
	dir := t.TempDir()
	scene := b.scenario("about reports\nsteps\n wait until at-rest within 20s\n expect transitions == 77\n")
	cmd := b.command("run", scene, "--json", dir+"/r.json", "--junit", dir+"/r.xml", "--pcap", dir)
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 1 {
		t.Errorf("a failed expectation ends with %v", err)
	}
	for _, want := range []string{"failed: expect transitions == 77", "0 passed, 1 failed"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("%q is missing in:\n%s", want, out)
		}
	}
	for _, name := range []string{"r.json", "r.xml", "scene-ext.pcapng", "scene-int.pcapng", "scene-sync.pcapng"} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Size() == 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestRunReadsAllBeforeItStarts(t *testing.T) {
	b := newStand(t)
	good, bad := b.scenario("about x\nsteps\n mark\n"), b.scenario("about x\nsteps\n explode\n")
	out, err := b.command("run", good, bad).CombinedOutput()
	if err == nil || !strings.Contains(string(out), `scene.txt:3: no step "explode"`) || strings.Contains(string(out), "==") {
		t.Errorf("%v: %s", err, out)
	}
}
