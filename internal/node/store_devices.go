// SPDX-License-Identifier: Apache-2.0

package node

import (
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/holdfast-project/holdfast/internal/control"
)

// reportsEvery is how long changed reports are collected before they are written: a program that reports without end must not keep
// the disk busy.
const reportsEvery = time.Second

// reportsAgain is when a write of reports that the disk has refused is tried again.
const reportsAgain = 5 * time.Second

// reported is what was last said of a device.
type reported struct {
	Status string `json:"status"`
	Reason string `json:"reason,omitempty"`
}

// notes are reports on their way to the disk. They have a lock of their own: who reports never waits for the disk.
type notes struct {
	mu   *sync.Mutex
	last map[string]reported
	some chan struct{}
}

func newNotes() notes {
	return notes{mu: new(sync.Mutex), last: map[string]reported{}, some: make(chan struct{}, 1)}
}

// bootID identifies the boot of this machine, "" if the kernel does not say.
func bootID() string {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(id))
}

// noteReport remembers, within reportsEvery, what was said of a device, if that device persists. It does not wait.
func (s *store) noteReport(r control.DeviceRequest) {
	s.noted.mu.Lock()
	s.noted.last[r.Name] = reported{r.Status, r.Reason}
	s.noted.mu.Unlock()
	select {
	case s.noted.some <- struct{}{}:
	default:
	}
}

// writeReports puts the noted reports of persistent devices on disk. If the disk refuses, they stay noted.
func (s *store) writeReports() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.noted.mu.Lock()
	last := s.noted.last
	s.noted.last = map[string]reported{}
	s.noted.mu.Unlock()
	next := s.sameBoot()
	for name, r := range last {
		if _, kept := s.Devices[name]; kept {
			next.Reported[name] = r
		}
	}
	if maps.Equal(next.Reported, s.Reported) {
		return nil
	}
	err := s.replace(next)
	if err != nil {
		s.noted.putBack(last)
	}
	return err
}

// sameBoot is a copy of what is stored, without what was reported before this boot, to be changed.
func (s *store) sameBoot() stored {
	next := s.stored
	next.Devices, next.Reported = map[string]control.DeviceRequest{}, map[string]reported{}
	maps.Copy(next.Devices, s.Devices)
	if s.BootID == s.bootID {
		maps.Copy(next.Reported, s.Reported)
	}
	next.BootID = s.bootID
	return next
}

// take removes a device's note, if there is one, and adds it to taken.
func (n *notes) take(name string, taken map[string]reported) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if r, is := n.last[name]; is {
		taken[name] = r
		delete(n.last, name)
	}
}

// putBack notes again what could not be written, unless something newer has been noted meanwhile.
func (n *notes) putBack(taken map[string]reported) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for name, r := range taken {
		if _, newer := n.last[name]; !newer {
			n.last[name] = r
		}
	}
}

// keepDevices remembers registrations that persist and forgets those that no longer do, in one write.
func (s *store) keepDevices(all []control.DeviceRequest) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	next, older := s.sameBoot(), map[string]reported{}
	for _, r := range all {
		switch {
		case r.Action == "register" && r.Persistent:
			next.Devices[r.Name] = r
			delete(next.Reported, r.Name)
		case r.Action == "report":
			if _, kept := next.Devices[r.Name]; kept {
				next.Reported[r.Name] = reported{r.Status, r.Reason}
			}
		case r.Action == "unregister" && r.Persistent:
			delete(next.Devices, r.Name)
			delete(next.Reported, r.Name)
		default: // for this run only
			continue
		}
		s.noted.take(r.Name, older)
	}
	if maps.Equal(next.Devices, s.Devices) && maps.Equal(next.Reported, s.Reported) {
		return nil
	}
	err := s.replace(next)
	if err != nil {
		s.noted.putBack(older)
	}
	return err
}

// kept returns the registrations that survive a restart, each with what was last reported in this boot of the machine.
func (s *store) kept() []control.DeviceRequest {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := slices.SortedFunc(maps.Values(s.Devices), func(a, b control.DeviceRequest) int { return strings.Compare(a.Name, b.Name) })
	for i := range all {
		if last, known := s.Reported[all[i].Name]; known && s.BootID == s.bootID {
			all[i].Status, all[i].Reason = last.Status, last.Reason
		}
	}
	return all
}

// keeps reports whether the registration of a device survives a restart.
func (s *store) keeps(name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, is := s.Devices[name]
	return is
}
