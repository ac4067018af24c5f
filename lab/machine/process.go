// SPDX-License-Identifier: Apache-2.0

package machine

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Process is one process of a machine, as this process sees it.
type Process struct {
	PID  int
	Args []string
}

// CPU returns the processor time that everything on the machine has used since its boot, ended processes included. It needs cgroup v2.
func (m *Machine) CPU() (time.Duration, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.booted {
		return 0, fmt.Errorf("machine %s: processor time: the machine is off", m.node.Name)
	}
	used, err := m.group.CPU()
	if err != nil {
		return 0, fmt.Errorf("machine %s: %w", m.node.Name, err)
	}
	return used, nil
}

// PeakMemory returns the most memory in bytes that the machine's present processes have had resident, each at its own time (VmHWM),
// summed up. What they share counts for each of them.
func (m *Machine) PeakMemory() (int64, error) {
	procs, err := m.Processes()
	if err != nil {
		return 0, err
	}
	var sum int64
	for _, p := range procs {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.PID))
		if err != nil {
			continue // gone meanwhile
		}
		for line := range strings.Lines(string(text)) {
			value, found := strings.CutPrefix(line, "VmHWM:")
			if !found {
				continue
			}
			kb, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(value), "kB")), 10, 64)
			if err != nil {
				return 0, fmt.Errorf("machine %s: /proc/%d/status: %w", m.node.Name, p.PID, err)
			}
			sum += kb << 10
		}
	}
	return sum, nil
}

// Processes lists the machine's processes without its init, oldest first as far as numbers tell.
func (m *Machine) Processes() ([]Process, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.processes()
}

func (m *Machine) processes() ([]Process, error) {
	if !m.booted {
		return nil, nil
	}
	kind := "pid"
	if m.sharesPIDs() {
		kind = "mnt"
	}
	world, err := worldOf(m.init.Process.Pid, kind)
	if err != nil {
		return nil, fmt.Errorf("machine %s: %w", m.node.Name, err)
	}
	procs, err := processesOf(world, kind)
	return slices.DeleteFunc(procs, func(p Process) bool { return p.PID == m.init.Process.Pid }), err
}

// processesOf lists the processes in the namespace of that kind (pid, mnt).
func processesOf(world, kind string) ([]Process, error) {
	dirs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return nil, err
	}
	var out []Process
	for _, dir := range dirs {
		pid, err := strconv.Atoi(filepath.Base(dir))
		if err != nil {
			continue
		}
		if in, err := worldOf(pid, kind); err != nil || in != world {
			continue // gone meanwhile, or another's
		}
		raw, err := os.ReadFile(filepath.Join(dir, "cmdline"))
		if err != nil || len(raw) == 0 {
			continue // gone, or dead and not yet collected
		}
		out = append(out, Process{PID: pid, Args: strings.Split(strings.TrimRight(string(raw), "\x00"), "\x00")})
	}
	return out, nil
}

func worldOf(pid int, kind string) (string, error) {
	return os.Readlink(fmt.Sprintf("/proc/%d/ns/%s", pid, kind))
}

// Signal sends sig to every process of the machine that match accepts (all but init if match is nil) and returns how
// many that were. To stop all of them at the same time, stop twice: the first may have forked meanwhile.
func (m *Machine) Signal(sig unix.Signal, match func(Process) bool) (int, error) {
	procs, err := m.Processes()
	if err != nil {
		return 0, err
	}
	count := 0
	var errs []error
	for _, p := range procs {
		if match != nil && !match(p) {
			continue
		}
		if err := unix.Kill(p.PID, sig); err != nil && !errors.Is(err, unix.ESRCH) {
			errs = append(errs, fmt.Errorf("machine %s: signal %v to %v: %w", m.node.Name, sig, p.Args, err))
			continue
		}
		count++
	}
	return count, errors.Join(errs...)
}
