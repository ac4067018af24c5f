// SPDX-License-Identifier: Apache-2.0

package notify

import (
	"encoding/hex"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// engine is this member as an SNMP engine (RFC 3411, RFC 3414 section 2): its id, how often it has been started, and for how long it has
// been running. A manager that has seen a trap takes none with fewer boots or an earlier time: that would be a replay.
type engine struct {
	path    string
	id      string // as bytes
	log     *slog.Logger
	started time.Time
	boots   func() uint32 // reads and counts up the file, once
}

func newEngine(path string, id []byte, log *slog.Logger) *engine {
	e := &engine{path: path, id: string(id), log: log, started: time.Now()}
	e.boots = sync.OnceValue(e.boot)
	return e
}

// uptime is sysUpTime: hundredths of a second.
func (e *engine) uptime() uint32 { return uint32(time.Since(e.started) / (10 * time.Millisecond)) }

// time is snmpEngineTime: seconds since boots changed.
func (e *engine) time() uint32 { return uint32(time.Since(e.started) / time.Second) }

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
	id := hex.EncodeToString([]byte(e.id))
	if err != nil && !os.IsNotExist(err) {
		// Above what any number of starts would have come to, and above the last time this happened.
		kept.Boots = uint32(time.Now().Unix() - 1_700_000_000)
		e.log.Warn("how often has this member been started? Counting from the clock", "file", e.path, "boots", kept.Boots, "error", err)
	} else if kept.ID != id {
		kept.Boots = 0
	}
	kept.ID = id
	kept.Boots++
	if text, err = json.Marshal(kept); err == nil {
		err = replace(e.path, append(text, '\n'))
	}
	if err != nil {
		e.log.Warn("remember this member's SNMP engine: managers may refuse its traps after the next start", "file", e.path, "error", err)
	}
	e.log.Info("SNMP engine", "id", "0x"+id, "boots", kept.Boots)
	return kept.Boots
}

// replace writes a file that is whole before its name points to it.
func replace(path string, text []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".snmp-*")
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if e := f.Sync(); err == nil {
		err = e
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
	}
	return err
}
