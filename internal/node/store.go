// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast-project/holdfast/internal/atomicfile"
	"github.com/holdfast-project/holdfast/internal/control"
	"github.com/holdfast-project/holdfast/members"
)

// termReserve is how many terms are reserved on disk at once. A claim must not wait for a disk, so the file holds a ceiling above
// every term in use; a member that starts with a new gate takes the ceiling for the last term it used. 24 bits of terms last for 16,000
// such starts, and for as many claims as ever. A daemon that adopts a gate uses up none: it may be started ten times a second.
const termReserve = 1024

// stored is what a member remembers across restarts and reboots.
type stored struct {
	TermCeiling uint32   `json:"term_ceiling"` // no term above it was ever used by this member
	Gate        gateTerm `json:"gate"`
	AdminDown   bool     `json:"admin_down,omitempty"` // taken out of service for good ("--permanent")
	// Devices are the registrations that survive a restart ("--persistent"), by name.
	Devices map[string]control.DeviceRequest `json:"devices,omitempty"`
	// Reported is what was last reported of these, and BootID the boot of the machine in which that was. After a restart of the daemon
	// a device is as it was; after a reboot it is as it was registered.
	Reported map[string]reported `json:"reported,omitempty"`
	BootID   string              `json:"boot_id,omitempty"`
	// Command is the routing command that was begun last.
	Command *lastCommand `json:"command,omitempty"`
}

// gateTerm is, of the gate with this incarnation, the last term that this member may have used before it was loaded. What was used since, its
// fence knows: the own gate grants every term that this member claims.
type gateTerm struct {
	Incarnation uint64 `json:"incarnation"`
	Term        uint32 `json:"term"`
}

// lastCommand is a routing command, whether it has succeeded, and in which boot of the machine: a reboot undoes what it did.
type lastCommand struct {
	When   string `json:"when"`
	Done   bool   `json:"done,omitempty"`
	BootID string `json:"boot_id"`
}

// store keeps stored in one file, replaced whole: a crash leaves the old or the new one. It is safe for concurrent use; only want never
// waits for the disk.
type store struct {
	path string
	lock *os.File // held for as long as this daemon is the member
	log  *slog.Logger

	mu sync.Mutex // around the file
	stored
	ceiling atomic.Uint32 // TermCeiling, for want
	wanted  chan uint32   // the newest term that is to be reserved

	bootID string
	noted  notes // reports that are to be remembered

	there  bool   // the file was, at some time: then it is missed
	remade func() // called when the directory was made again; may be nil
}

// openStore reads dir/member.json; a missing file is an empty one, a damaged file is an error that says what to do.
// Nobody else is this member until close.
func openStore(dir string, log *slog.Logger) (_ *store, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("state-dir %s: %w", dir, err)
	}
	s := &store{path: filepath.Join(dir, "member.json"), log: log, wanted: make(chan uint32, 1),
		bootID: bootID(), noted: newNotes()}
	if s.lock, err = lockFile(filepath.Join(dir, "lock")); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	text, err := os.ReadFile(s.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return s, nil
	case err != nil:
		return nil, fmt.Errorf("read what this member remembers: %w: see to the disk of state-dir, or name another state-dir; the member then takes its terms from its peers", err)
	}
	if err := json.Unmarshal(text, &s.stored); err != nil {
		return nil, fmt.Errorf("%s: %w: move it away; the member then takes its terms from its peers", s.path, err)
	}
	s.ceiling.Store(s.TermCeiling)
	s.there = true
	return s, nil
}

// lockPatience is how long a daemon waits for its predecessor to end.
const lockPatience = 3 * time.Second

// lockFile takes the lock that makes this daemon the member: a second one would take over gate and control socket of the first.
func lockFile(path string) (*os.File, error) { return lockFileWithin(path, lockPatience) }

func lockFileWithin(path string, patience time.Duration) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if errors.Is(err, unix.EROFS) || errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
		// A disk that takes no more is no reason to end a member: any open file can be locked, and the directory if there is none yet.
		if f, err = os.Open(path); errors.Is(err, fs.ErrNotExist) {
			f, err = os.Open(filepath.Dir(path))
		}
	}
	if err != nil {
		return nil, fmt.Errorf("lock: %w", err)
	}
	for end := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return f, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) || time.Now().After(end) {
			return nil, errors.Join(fmt.Errorf("lock %s: %w: another holdfastd is this member; stop it, or choose another state-dir", path, err), f.Close())
		}
	}
}

// close lets another daemon be the member.
func (s *store) close() error { return s.lock.Close() }

// want asks for a term to be reserved, and for room above it, in a quiet moment. It does not wait.
func (s *store) want(term uint32) {
	if term+termReserve/2 <= s.ceiling.Load() {
		return
	}
	select {
	case <-s.wanted: // an older wish
	default:
	}
	select {
	case s.wanted <- term:
	default:
	}
}

// serve writes what is wanted until ctx ends. A disk that refuses is put on record, and no error.
func (s *store) serve(ctx context.Context) error {
	write := time.NewTimer(0)
	defer write.Stop()
	<-write.C
	again, owed := time.NewTimer(0), uint32(0)
	defer again.Stop()
	<-again.C
	due := false // a write is: what is noted meanwhile must not put it off
	look := time.NewTicker(keepStateEvery)
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			if err := s.writeReports(); err != nil {
				s.log.Error("remember reports: what was reported last is forgotten", "error", err)
			}
			return nil // a full disk is no reason to start a member again that is told to go
		case <-s.noted.some:
			if !due {
				due = true
				write.Reset(reportsEvery)
			}
		case <-write.C:
			due = false
			if err := s.writeReports(); err != nil {
				s.log.Error("remember reports, trying again", "error", err)
				due = true
				write.Reset(reportsAgain)
			}
		case term := <-s.wanted:
			if err := s.reserve(term + termReserve/2); err != nil {
				s.log.Error("reserve terms, trying again", "error", err)
				owed = term
				again.Reset(reportsAgain)
			}
		case <-again.C:
			s.want(owed)
		case <-look.C:
			s.keep()
		}
	}
}

// keepStateEvery is how often it is looked whether what was written is still there.
const keepStateEvery = 10 * time.Second

// keep writes anew what somebody has removed, with the directory if need be. The lock went with it: another daemon could be this member.
func (s *store) keep() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, err := os.Stat(s.path); !s.there || !errors.Is(err, fs.ErrNotExist) {
		return
	}
	if err := s.remake(); err != nil {
		s.log.Error("somebody has removed what this member remembers; it is tried again to write it anew", "file", s.path, "error", err)
		return
	}
	s.log.Warn("somebody has removed what this member remembers; it is written anew", "file", s.path)
}

func (s *store) remake() error {
	dir := filepath.Dir(s.path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	path := filepath.Join(dir, "lock")
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		lock, err := lockFileWithin(path, 0)
		if err != nil {
			return err
		}
		_ = s.lock.Close()
		s.lock = lock
	}
	if s.remade != nil {
		s.remade()
	}
	return s.replaceIn(s.stored)
}

// begin returns the last term that this member may have used, for a daemon that starts with the gate of this incarnation; terms that the gate's
// fence tells are left out. It makes sure that the next term may be used without another write. The term is right with an error too: that is
// the disk's.
func (s *store) begin(incarnation uint64, adopted bool, fence uint32) (uint32, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	next := s.stored
	switch {
	case adopted && next.Gate.Incarnation == incarnation:
	case !adopted && next.TermCeiling >= members.MaxTerm:
		// All are used up, which no gate but the others' need remember: with those stopped as well, terms begin anew.
		next.Gate, next.TermCeiling = gateTerm{Incarnation: incarnation}, 0
	default:
		next.Gate = gateTerm{Incarnation: incarnation, Term: next.TermCeiling}
	}
	if first := max(next.Gate.Term, fence) + 1; first > next.TermCeiling {
		next.TermCeiling = first + termReserve
	}
	if next.Gate == s.Gate && next.TermCeiling == s.TermCeiling {
		return next.Gate.Term, nil
	}
	s.Gate = next.Gate // goes with whatever is written next
	return next.Gate.Term, s.replace(next)
}

// reserve makes sure that term may be used without another write.
func (s *store) reserve(term uint32) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if term <= s.TermCeiling {
		return nil
	}
	next := s.stored
	next.TermCeiling = term + termReserve
	return s.replace(next)
}

// setAdminDown remembers whether the member is out of service for good.
func (s *store) setAdminDown(down bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.AdminDown == down {
		return nil
	}
	next := s.stored
	next.AdminDown = down
	return s.replace(next)
}

// noteCommand remembers that a routing command has begun, or succeeded. What cannot be written is logged.
func (s *store) noteCommand(when string, done bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	next := s.stored
	next.Command = &lastCommand{When: when, Done: done, BootID: s.bootID}
	if err := s.replace(next); err != nil {
		s.log.Error("remember the routing command", "when", when, "error", err)
	}
}

// lastCommand is the routing command that a daemon of this boot began last, nil for none.
func (s *store) lastCommand() *lastCommand {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.Command == nil || s.Command.BootID != s.bootID {
		return nil
	}
	c := *s.Command
	return &c
}

// replace puts next in the place of what is remembered. If it fails nothing has changed.
func (s *store) replace(next stored) error {
	err := s.replaceIn(next)
	if errors.Is(err, fs.ErrNotExist) {
		if err = s.remake(); err == nil {
			err = s.replaceIn(next)
		}
	}
	return err
}

// replaceIn is replace in a directory that is there.
func (s *store) replaceIn(next stored) error {
	text, err := json.Marshal(next)
	if err != nil {
		return err
	}
	if err := atomicfile.Write(s.path, append(text, '\n'), 0o600); err != nil {
		return fmt.Errorf("%s cannot be written, so nothing has changed: %w: see to space and mount of state-dir", s.path, err)
	}
	s.stored, s.there = next, true
	s.ceiling.Store(next.TermCeiling)
	return nil
}
