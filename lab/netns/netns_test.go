// SPDX-License-Identifier: Apache-2.0

package netns_test

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"github.com/holdfast-project/holdfast/internal/labtest"
	"github.com/holdfast-project/holdfast/lab/netns"
)

func newNS(t *testing.T) *netns.NS {
	t.Helper()
	labtest.Require(t)
	ns, err := netns.New("test")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := ns.Close(); err != nil {
			t.Error(err)
		}
	})
	return ns
}

func own(t *testing.T) string {
	t.Helper()
	s, err := os.Readlink("/proc/thread-self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestDoIsInsideAndComesBack(t *testing.T) {
	ns := newNS(t)
	before, inside := own(t), ""
	err := ns.Do(func() (err error) {
		inside, err = os.Readlink("/proc/thread-self/ns/net")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if inside == before {
		t.Error("Do ran outside")
	}
	if after := own(t); after != before {
		t.Error("Do left its caller inside")
	}
	want := errors.New("mine")
	if err := ns.Do(func() error { return want }); !errors.Is(err, want) {
		t.Errorf("got %v, want the function's error", err)
	}
}

func TestDoSurvivesGoexit(t *testing.T) {
	ns := newNS(t)
	if err := ns.Do(func() error { runtime.Goexit(); return nil }); err == nil {
		t.Error("a function that ended its goroutine is a success")
	}
	if err := ns.Do(func() error { return nil }); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

func TestSocketsStayInside(t *testing.T) {
	ns := newNS(t)
	var l net.Listener
	err := ns.Do(func() (err error) {
		l, err = net.Listen("tcp", "127.0.0.1:0")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if c, err := net.Dial("tcp", l.Addr().String()); err == nil {
		c.Close()
		t.Error("the host reaches a listener on the namespace's loopback")
	}
	if err := ns.Do(func() error {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			return err
		}
		return c.Close()
	}); err != nil {
		t.Errorf("from inside: %v", err)
	}
}

func TestStartIsInside(t *testing.T) {
	ns := newNS(t)
	labtest.Require(t, "readlink")
	out, err := os.CreateTemp(t.TempDir(), "out")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("readlink", "/proc/self/ns/net")
	cmd.Stdout = out
	if err := netns.Start(netns.Place{Net: ns}, cmd); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(out.Name())
	if err != nil {
		t.Fatal(err)
	}
	inside, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", ns.FD()))
	if err != nil {
		t.Fatal(err)
	}
	if strings.TrimSpace(string(got)) != inside {
		t.Errorf("the process was in %s, the namespace is %s", got, inside)
	}
}

func TestSysctlSaysWhich(t *testing.T) {
	ns := newNS(t)
	if err := ns.Sysctl("ipv4/ip_forward", "1"); err != nil {
		t.Fatal(err)
	}
	if err := ns.Sysctl("ipv4/nonsense", "1"); err == nil || !strings.Contains(err.Error(), "ipv4.nonsense=1") {
		t.Errorf("got %v, want an error that names the sysctl", err)
	}
}
