// SPDX-License-Identifier: Apache-2.0

package conntrack

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast-project/holdfast/dataplane/conntrack/record"
)

// cpu is the processor time of the calling thread: the kernel works on requests in it.
func cpu(b *testing.B) time.Duration {
	b.Helper()
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_THREAD, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// perItem reports the processor time of f for each of n items.
func perItem(b *testing.B, n int, what string, f func()) {
	b.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	begun := cpu(b)
	f()
	b.ReportMetric(float64(cpu(b)-begun)/float64(n), "cpu-ns/"+what)
}

// BenchmarkApply creates and deletes entries in batches of different sizes. Run it with -benchtime 1x; figures are in
// docs/decisions/009-what-conntrack-takes.md.
func BenchmarkApply(b *testing.B) {
	const n = 50_000 // below the number of ports that one address has
	rs, out := make([]record.Record, n), make([]Outcome, n)
	for _, size := range []int{1, 8, 32, 64, 128, 256} {
		for _, translated := range []bool{false, true} {
			g := newMember(b, "m", tracking)
			g.table.limit = size + 1
			for i := range rs {
				if rs[i] = flow(i); translated {
					rs[i] = snat(rs[i], uint16(i+1))
				}
			}
			apply := func() {
				for i := 0; i < n; i += size {
					if err := g.table.Apply(rs[i:min(i+size, n)], out[i:min(i+size, n)]); err != nil {
						b.Fatal(err)
					}
				}
			}
			name := fmt.Sprintf("batch=%d/translated=%v", size, translated)
			for _, step := range []struct {
				what string
				op   record.Op
				want Result
			}{{"new", record.OpNew, Created}, {"update", record.OpUpdate, Updated}, {"new-again", record.OpNew, Updated}, {"delete", record.OpDelete, Deleted}} {
				for i := range rs {
					rs[i].Op = step.op
				}
				b.Run(name+"/"+step.what, func(b *testing.B) {
					perItem(b, n, "record", apply)
				})
				for i, o := range out {
					if o.Result != step.want {
						b.Fatalf("record %d: %+v, want %v", i, o, step.want)
					}
				}
			}
			_ = g.table.Close()
		}
	}
}

// BenchmarkEvents hears of entries that are created and deleted by another socket.
func BenchmarkEvents(b *testing.B) {
	g := newMember(b, "m", tracking)
	e := g.hear(b, ListenOptions{Buffer: 512 << 20})
	const n = 100_000
	rs, out := make([]record.Record, n), make([]Outcome, n)
	for i := range rs {
		rs[i] = flow(i)
	}
	batch, dst := NewBatch(), make([]byte, 0, record.MaxLen)
	for _, rewrite := range []bool{false, true} {
		for _, op := range []record.Op{record.OpNew, record.OpDelete} {
			for i := range rs {
				rs[i].Op = op
			}
			if err := g.table.Apply(rs, out); err != nil {
				b.Fatal(err)
			}
			b.Run(fmt.Sprintf("rewrite=%v/%v", rewrite, op), func(b *testing.B) {
				got := 0
				perItem(b, n, "event", func() {
					for got < n {
						_ = e.SetReadDeadline(time.Now().Add(time.Second))
						if err := e.Read(batch); errors.Is(err, os.ErrDeadlineExceeded) {
							break
						} else if err != nil {
							b.Fatal(err)
						}
						got += batch.Len()
						if rewrite {
							batch.Each(func(m Message) {
								if _, err := record.FromMessage(dst, m.Type, m.Flags, m.Payload); err != nil {
									b.Fatal(err)
								}
							})
						}
					}
				})
				if got != n {
					b.Fatalf("%d events of %d", got, n)
				}
			})
		}
	}
}

// BenchmarkDump dumps a table, with and without making records of it.
func BenchmarkDump(b *testing.B) {
	g := newMember(b, "m", tracking)
	const n = 100_000
	rs, out := make([]record.Record, n), make([]Outcome, n)
	for i := range rs {
		rs[i] = flow(i)
	}
	if err := g.table.Apply(rs, out); err != nil {
		b.Fatal(err)
	}
	dst := make([]byte, 0, record.MaxLen)
	for _, rewrite := range []bool{false, true} {
		b.Run(fmt.Sprintf("rewrite=%v", rewrite), func(b *testing.B) {
			got := 0
			perItem(b, n, "entry", func() {
				if err := g.table.Dump(context.Background(), DumpOptions{}, func(m Message) error {
					got++
					if !rewrite {
						return nil
					}
					_, err := record.FromMessage(dst, m.Type, m.Flags, m.Payload)
					return err
				}); err != nil {
					b.Fatal(err)
				}
			})
			if got != n {
				b.Fatalf("%d entries of %d", got, n)
			}
		})
	}
	b.Run("sweep", func(b *testing.B) {
		timeouts := Timeouts{UDP: 30 * time.Second, UDPStream: 120 * time.Second}
		perItem(b, n, "entry", func() {
			if _, err := g.table.Sweep(context.Background(), SweepOptions{Timeouts: timeouts, Copy: record.CopyTimeout * time.Second}); err != nil {
				b.Fatal(err)
			}
		})
	})
}

// BenchmarkApplyHeard tells what it costs a copy that somebody listens to events, though a filter refuses those of its own doing; and
// that somebody listens in another network namespace of the same kernel, for which it makes the messages all the same (netlink knows
// listeners by protocol and group only).
func BenchmarkApplyHeard(b *testing.B) {
	const n = 50_000
	rs, out := make([]record.Record, n), make([]Outcome, n)
	for i := range rs {
		rs[i] = flow(i)
	}
	for _, heard := range []string{"nowhere", "elsewhere", "here"} {
		g := newMember(b, "m", tracking)
		switch heard {
		case "elsewhere":
			newMember(b, "other", tracking).hear(b, ListenOptions{})
		case "here":
			g.hear(b, ListenOptions{Ignore: []uint32{g.table.PortID()}})
		}
		for _, op := range []record.Op{record.OpNew, record.OpUpdate, record.OpDelete} {
			for i := range rs {
				rs[i].Op = op
			}
			b.Run(fmt.Sprintf("heard=%s/%v", heard, op), func(b *testing.B) {
				perItem(b, n, "record", func() {
					if err := g.table.Apply(rs, out); err != nil {
						b.Fatal(err)
					}
				})
			})
		}
	}
}

// BenchmarkEventsPaced hears of 20,000 new connections a second, which come one by one.
func BenchmarkEventsPaced(b *testing.B) {
	const n, rate = 20_000, 20_000
	rs, out := make([]record.Record, n), make([]Outcome, 1)
	for i := range rs {
		rs[i] = flow(i)
	}
	g := newMember(b, "m", tracking)
	e := g.hear(b, ListenOptions{})
	batch := NewBatch()
	reads := 0
	spent := make(chan time.Duration)
	before := process(b)
	go func() {
		runtime.LockOSThread()
		begun, start := cpu(b), time.Now()
		for i := range rs {
			for time.Since(start) < time.Duration(i)*time.Second/rate {
				continue // busy, lest the pace depend on timers
			}
			if err := g.table.Apply(rs[i:i+1], out); err != nil {
				b.Error(err)
			}
		}
		spent <- cpu(b) - begun
	}()
	for got := 0; got < n; got += batch.Len() {
		if err := e.Read(batch); err != nil {
			b.Fatal(err)
		}
		reads++
	}
	injecting := <-spent
	b.ReportMetric(float64(process(b)-before-injecting)/n, "cpu-ns/event")
	b.ReportMetric(float64(n)/float64(reads), "events/read")
}

// process is the processor time of the whole process.
func process(b *testing.B) time.Duration {
	b.Helper()
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
