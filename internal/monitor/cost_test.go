// SPDX-License-Identifier: Apache-2.0

package monitor

import (
	"fmt"
	"net"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast-project/holdfast/dataplane/link/linktest"
	"github.com/holdfast-project/holdfast/internal/labtest"
	"github.com/holdfast-project/holdfast/internal/monitor/verdict"
)

// fifty are monitors of all kinds, with the default intervals of cluster.yaml where that is what costs: 20 processes, 8 ports, 5 web
// servers, 5 scripts, 4 pings, 3 routes, 2 disks, 2 files, an interface.
func fifty(t testing.TB, tcp, web string, names []string) (specs []Spec) {
	add := func(n int, interval time.Duration, c func(i int) Check) {
		for i := range n {
			check := c(i)
			specs = append(specs, Spec{Name: fmt.Sprintf("%s%d", check.kind(), len(specs)), Interval: interval, Timeout: interval, Check: check})
		}
	}
	add(10, time.Second, func(i int) Check { return Process{Name: names[i%len(names)], Min: 1} })
	add(10, time.Second, func(i int) Check { return Process{Name: names[i%len(names)], Min: 1, Max: 100} }) // these look each time
	add(8, 2*time.Second, func(int) Check { return TCP{Address: tcp} })
	add(5, 5*time.Second, func(int) Check { return HTTP{URL: web} })
	add(5, 10*time.Second, func(int) Check { return Script{Command{Line: "exit 0"}} })
	add(4, time.Second, func(int) Check { return Ping{Targets: []netip.Addr{netip.MustParseAddr("127.0.0.1")}} })
	add(3, 30*time.Second, func(int) Check { return Route{Table: 254, Protocol: 4, Min: 1} })
	add(2, 10*time.Second, func(int) Check { return Disk{Path: "/", MinFree: 1, ReadOnly: true} })
	add(2, 5*time.Second, func(int) Check { return File{Path: filepath.Join("/proc", "self", "stat")} })
	add(1, 5*time.Second, func(int) Check { return Interface{Device: "lo"} })
	for i := range specs {
		sound(&specs[i])
	}
	return specs
}

// used is the CPU time of this process and its children.
func used(t testing.TB) time.Duration {
	var sum time.Duration
	for _, who := range []int{unix.RUSAGE_SELF, unix.RUSAGE_CHILDREN} {
		var u unix.Rusage
		if err := unix.Getrusage(who, &u); err != nil {
			t.Fatal(err)
		}
		sum += time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	return sum
}

// BenchmarkFifty measures what 50 monitors cost: CPU time per second, as a percentage of one core, the servers that they ask included.
// One round is a second.
func BenchmarkFifty(b *testing.B) {
	percent := cost(b, time.Duration(max(b.N, 5))*time.Second)
	b.ReportMetric(percent, "%core")
	b.ReportMetric(0, "ns/op")
}

// TestCostOfFifty: far below the 5 % of a core that a member with 200 devices and 50 monitors may use.
func TestCostOfFifty(t *testing.T) {
	if testing.Short() {
		t.Skip("takes 4 s")
	}
	percent := cost(t, 3*time.Second)
	t.Logf("%.2f %% of a core", percent)
	if percent > 12 { // what a slow host makes of less than 4
		t.Errorf("50 monitors take %.2f %% of a core", percent)
	}
}

func cost(t testing.TB, d time.Duration) float64 {
	labtest.Require(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_ = c.Close()
		}
	}()
	s := httptest.NewServer(web())
	defer func() {
		s.Close()
		_ = l.Close()
		<-done
	}()
	here := linktest.Here(t)
	here.Run("ip", "route", "add", "10.70.0.0/24", "dev", "lo", "proto", "static")
	defer here.Run("ip", "route", "del", "10.70.0.0/24")
	// Names of processes that live as long as we do.
	p := &procs{root: "/proc"}
	var names []string
	for _, pid := range []int{unix.Getpid(), unix.Getppid()} {
		if name, err := p.comm(pid); err == nil {
			names = append(names, name)
		}
	}
	w := serve(t, fifty(t, l.Addr().String(), s.URL, names)...)
	for w.firsts() < 50 {
		if r := w.next(); r.Status == verdict.Problem {
			t.Fatalf("%+v", r)
		}
	}
	before, began := used(t), time.Now()
	timer := time.NewTimer(d)
	for done := false; !done; {
		select {
		case r := <-w.set.Reports():
			t.Logf("%+v", r)
		case <-timer.C:
			done = true
		}
	}
	return 100 * float64(used(t)-before) / float64(time.Since(began))
}

// firsts counts the monitors that have ended a check.
func (w *watched) firsts() (n int) {
	for _, s := range w.set.States() {
		if s.Checks > 0 {
			n++
		}
	}
	return n
}
