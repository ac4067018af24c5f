// SPDX-License-Identifier: Apache-2.0

package link

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// The kernel's netdev family of generic netlink (Documentation/netlink/specs/netdev.yaml).
const (
	netdevFamily  = "netdev"
	netdevNAPIGet = 11
	napiIfindex   = 1
	napiPID       = 4
)

// genericHeader is command, version and two reserved bytes, which the kernel wants to be 0 (nl.Genlmsg sends what happens
// to lie behind it in memory).
type genericHeader [nl.SizeofGenlmsg]byte

// Len is the header's length on the wire.
func (g genericHeader) Len() int { return len(g) }

// Serialize returns the header's bytes.
func (g genericHeader) Serialize() []byte { return g[:] }

// napiThreads returns the threads that poll an interface: none unless it runs threaded NAPI.
func (c *conn) napiThreads(name string, index int) ([]int, error) {
	family, err := c.handle.GenlFamilyGet(netdevFamily)
	if errors.Is(err, unix.ENOENT) {
		return napiThreadsByName(name)
	}
	if err != nil {
		return nil, fmt.Errorf("netlink: family %s: %w", netdevFamily, err)
	}
	r := c.request(int(family.ID), unix.NLM_F_DUMP)
	r.AddData(genericHeader{netdevNAPIGet, uint8(family.Version)})
	r.AddData(nl.NewRtAttr(napiIfindex, nl.Uint32Attr(uint32(index))))
	msgs, err := r.Execute(unix.NETLINK_GENERIC, 0)
	if errors.Is(err, unix.EOPNOTSUPP) {
		return napiThreadsByName(name)
	}
	if errors.Is(err, unix.ENODEV) {
		return nil, nil // its threads went with it
	}
	if err != nil {
		return nil, fmt.Errorf("netlink: list NAPI instances: %w", err)
	}
	var pids []int
	for _, m := range msgs {
		attrs, err := nl.ParseRouteAttr(m[nl.SizeofGenlmsg:])
		if err != nil {
			return nil, fmt.Errorf("netlink: list NAPI instances: %w", err)
		}
		for _, a := range attrs {
			if a.Attr.Type == napiPID && len(a.Value) == 4 {
				pids = append(pids, int(nl.NativeEndian().Uint32(a.Value)))
			}
		}
	}
	return pids, nil
}

// napiThreadsByName looks for the kernel's threads by their names, for kernels that do not tell.
func napiThreadsByName(name string) ([]int, error) {
	comms, err := filepath.Glob("/proc/[0-9]*/comm")
	if err != nil {
		return nil, err
	}
	var pids []int
	for _, path := range comms {
		b, err := os.ReadFile(path)
		if err != nil || !strings.HasPrefix(string(b), "napi/"+name+"-") {
			continue
		}
		if pid, err := strconv.Atoi(strings.Split(path, "/")[2]); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids, nil
}

// isNAPI guards against process numbers that mean another process here (in a container of its own).
func isNAPI(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
	return err == nil && strings.HasPrefix(string(b), "napi/")
}

// napiWish is what an interface's threads are given: a SCHED_FIFO priority and, where nobody has chosen processors for them, one that
// goes with the interface's place in the list. Even a real-time thread waits for a processor that a hypervisor has taken away, or that
// is deep in the kernel; with the interfaces' threads on different ones a member is not silent on all of them at once.
type napiWish struct{ priority, nth int }

// String returns the wish as it is recorded.
func (w napiWish) String() string { return fmt.Sprintf("%d on %d", w.priority, w.nth) }

// parseNAPI reads a recorded wish; older records hold the priority alone.
func parseNAPI(text string) (w napiWish, err error) {
	priority, nth, spread := strings.Cut(text, " on ")
	if w.priority, err = strconv.Atoi(priority); err != nil {
		return w, fmt.Errorf("NAPI priority: %w", err)
	}
	if w.nth = -1; spread {
		if w.nth, err = strconv.Atoi(nth); err != nil {
			return w, fmt.Errorf("NAPI processor: %w", err)
		}
	}
	return w, nil
}

// processor returns the one that the wish means among those that this process may use.
func (w napiWish) processor() (unix.CPUSet, error) {
	var all, one unix.CPUSet
	if err := unix.SchedGetaffinity(0, &all); err != nil {
		return one, fmt.Errorf("processors: %w", err)
	}
	left := w.nth % max(all.Count(), 1)
	for cpu := range maxCPUs {
		if !all.IsSet(cpu) {
			continue
		}
		if left == 0 {
			one.Set(cpu)
			break
		}
		left--
	}
	return one, nil
}

// maxCPUs is how many a unix.CPUSet has room for.
const maxCPUs = 1024

// raiseNAPI gives an interface's threads a SCHED_FIFO priority and a processor; those that have that or a higher priority stay, and
// those that are not free to run on every processor.
func (c *conn) raiseNAPI(w wish) error {
	want, err := parseNAPI(w.value)
	if err != nil {
		return err
	}
	one, err := want.processor()
	if err != nil {
		return err
	}
	return c.eachNAPI(w.item, func(pid int, now *unix.SchedAttr) error {
		if now.Policy != unix.SCHED_FIFO || now.Priority < uint32(want.priority) {
			if err := setSched(pid, unix.SCHED_FIFO, want.priority); err != nil {
				return err
			}
		}
		if free, err := isFree(pid); err != nil || !free {
			return err
		}
		return unix.SchedSetaffinity(pid, &one)
	})
}

func setSched(pid, policy, priority int) error {
	return unix.SchedSetAttr(pid, &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: uint32(policy), Priority: uint32(priority)}, 0)
}

// isFree reports whether a thread may run wherever this process may.
func isFree(pid int) (bool, error) {
	var its, all unix.CPUSet
	if err := errors.Join(unix.SchedGetaffinity(pid, &its), unix.SchedGetaffinity(0, &all)); err != nil {
		return false, err
	}
	for cpu := range maxCPUs {
		if all.IsSet(cpu) && !its.IsSet(cpu) {
			return false, nil
		}
	}
	return true, nil
}

// lowerNAPI makes the threads that have what was set normal ones again, free to run everywhere, as the kernel starts them.
func (c *conn) lowerNAPI(e entry) error {
	was, err := parseNAPI(e.Set)
	if err != nil {
		return err
	}
	one, err := was.processor()
	if err != nil {
		return err
	}
	var all unix.CPUSet
	all.Fill()
	return c.eachNAPI(e.item, func(pid int, now *unix.SchedAttr) error {
		var its unix.CPUSet
		if err := unix.SchedGetaffinity(pid, &its); err != nil {
			return err
		}
		if was.nth >= 0 && its == one {
			if err := unix.SchedSetaffinity(pid, &all); err != nil {
				return err
			}
		}
		if now.Policy != unix.SCHED_FIFO || int(now.Priority) != was.priority {
			return nil
		}
		return setSched(pid, unix.SCHED_NORMAL, 0)
	})
}

// realTimeNAPI says whether the threads are real-time ones already, by somebody else's hand.
func (c *conn) realTimeNAPI(i item) bool {
	count, raised := 0, 0
	err := c.eachNAPI(i, func(_ int, now *unix.SchedAttr) error {
		count++
		if now.Policy == unix.SCHED_FIFO || now.Policy == unix.SCHED_RR {
			raised++
		}
		return nil
	})
	return err == nil && count > 0 && count == raised
}

// eachNAPI calls f for each thread of an interface.
func (c *conn) eachNAPI(i item, f func(pid int, now *unix.SchedAttr) error) error {
	pids, err := c.napiThreads(i.Link, i.Index)
	if err != nil {
		return err
	}
	var errs []error
	for _, pid := range pids {
		if !isNAPI(pid) {
			continue
		}
		now, err := unix.SchedGetAttr(pid, 0)
		if err == nil {
			err = f(pid, now)
		}
		if err != nil && !errors.Is(err, unix.ESRCH) {
			errs = append(errs, fmt.Errorf("thread %d: %w", pid, err))
		}
	}
	return errors.Join(errs...)
}
