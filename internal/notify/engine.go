// SPDX-License-Identifier: Apache-2.0

package notify

import (
	"encoding/hex"
	"encoding/json"
	"log/slog"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast-project/holdfast/internal/atomicfile"
)

// maxStandstill is how far the clock on the wall may outrun the engine's before it counts as a new start: less than half of the 150 s that
// managers tolerate (RFC 3414 section 2.2.3).
const maxStandstill = 60 * time.Second

// engine is this member as an SNMP engine (RFC 3411, RFC 3414 section 2): its id, how often it has been started, and for how long it has
// been running. A manager that has seen a trap takes none with fewer boots or an earlier time: that would be a replay.
type engine struct {
	path  string
	id    string // as bytes
	log   *slog.Logger
	clock func() (wall, running time.Duration) // since 1970, and since the machine booted, suspended or not
	began time.Duration                        // running at the daemon's start

	mu    sync.Mutex
	boots uint32        // 0: not read yet
	since time.Duration // running when boots changed
	ahead time.Duration // how much wall was ahead of running then, or at the least since
}

func newEngine(path string, id []byte, log *slog.Logger) *engine {
	e := &engine{path: path, id: string(id), log: log, clock: clocks}
	_, e.began = e.clock()
	return e
}

// clocks reads the clock on the wall, and the one that goes on while the machine is suspended; Go's own stands still then.
func clocks() (wall, running time.Duration) {
	now := time.Now()
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &t); err != nil { // never fails on Linux
		return time.Duration(now.UnixNano()), time.Duration(now.UnixNano())
	}
	return time.Duration(now.UnixNano()), time.Duration(t.Nano())
}

// hex is the id as managers' configurations spell it.
func (e *engine) hex() string { return "0x" + hex.EncodeToString([]byte(e.id)) }

// uptime is sysUpTime: hundredths of a second.
func (e *engine) uptime() uint32 {
	_, running := e.clock()
	return uint32((running - e.began) / (10 * time.Millisecond))
}

// now is snmpEngineBoots, and snmpEngineTime: seconds since boots changed. A virtual machine that was paused has lost time that the managers
// have not: it counts as started again.
func (e *engine) now() (boots, seconds uint32) {
	e.mu.Lock()
	defer e.mu.Unlock()
	wall, running := e.clock()
	ahead := wall - running
	if e.boots == 0 || ahead > e.ahead+maxStandstill {
		e.boots, e.since, e.ahead = e.boot(), running, ahead
	}
	e.ahead = min(e.ahead, ahead)
	return e.boots, uint32((running - e.since) / time.Second)
}

// maxBoots is the greatest snmpEngineBoots.
const maxBoots = 1<<31 - 1

// boot counts this start.
func (e *engine) boot() uint32 {
	var kept struct {
		ID    string `json:"engine_id"`
		Boots uint32 `json:"boots"`
	}
	text, err := os.ReadFile(e.path)
	if err == nil {
		err = json.Unmarshal(text, &kept)
	}
	if id := hex.EncodeToString([]byte(e.id)); err != nil || kept.ID != id {
		// Managers may know this engine although the file does not. This is above what any number of starts would have come to, and above
		// the last time this happened.
		wall, _ := e.clock()
		kept.ID, kept.Boots = id, uint32(max(wall/time.Second-1_700_000_000, 0))
		if err != nil && !os.IsNotExist(err) {
			e.log.Warn("how often has this member been started? Counting from the clock", "file", e.path, "boots", kept.Boots, "error", err)
		}
	}
	// Without a disk, at least this daemon's own count goes on.
	kept.Boots = min(max(kept.Boots, e.boots), maxBoots-1) + 1
	if text, err = json.Marshal(kept); err == nil {
		err = atomicfile.Write(e.path, append(text, '\n'), 0o600)
	}
	if err != nil {
		e.log.Warn("remember this member's SNMP engine: managers may refuse its traps after the next start", "file", e.path, "error", err)
	}
	e.log.Info("SNMP engine counts a start", "id", e.hex(), "boots", kept.Boots)
	return kept.Boots
}
