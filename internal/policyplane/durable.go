// SPDX-License-Identifier: Apache-2.0

package policyplane

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/holdfast-project/holdfast/internal/atomicfile"
	"github.com/holdfast-project/holdfast/policy/install"
)

// durable is what must outlive a crash, beside the policies themselves.
type durable struct {
	Install install.Durable `json:"install"`
	// Highest is the highest generation ever seen, HighestAttempt the highest attempt.
	Highest        uint64 `json:"highest"`
	HighestAttempt uint64 `json:"highest_attempt"`
	// Unloaded is the boot in which an operator took the policy out of force; "": nobody did. A machine that boots again has a policy again.
	Unloaded string `json:"unloaded,omitempty"`
	// Definitions tells which definitions each generation in the kernel was loaded with.
	Definitions map[uint64]string `json:"definitions,omitempty"`
}

// envelope is the file: the state, and what says that it is whole.
type envelope struct {
	Version int             `json:"version"`
	Sum     string          `json:"sha256"`
	State   json.RawMessage `json:"state"`
}

const (
	stateFile    = "state.json"
	stateVersion = 1
	maxState     = 1 << 20 // bytes that are read
)

// errState: the file is there, and not what it should be.
var errState = errors.New("the state of installs is damaged")

func sum(b []byte) string {
	s := sha256.Sum256(b)
	return hex.EncodeToString(s[:])
}

// readDurable reads the file in dir; one that is not there is the state of a member that never had a policy. The error wraps errState if it is
// damaged.
func readDurable(dir string) (d durable, err error) {
	path := filepath.Join(dir, stateFile)
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return d, nil
	case err == nil && info.Size() > maxState:
		return d, fmt.Errorf("policyplane: %s: %w: %d bytes", path, errState, info.Size())
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return d, fmt.Errorf("policyplane: %w", err)
	}
	var e envelope
	if err := json.Unmarshal(b, &e); err != nil {
		return d, fmt.Errorf("policyplane: %s: %w: %w", path, errState, err)
	}
	if e.Version != stateVersion || e.Sum != sum(compact(e.State)) {
		return d, fmt.Errorf("policyplane: %s: %w: version %d, or a checksum that does not match", path, errState, e.Version)
	}
	if err := json.Unmarshal(e.State, &d); err != nil {
		return durable{}, fmt.Errorf("policyplane: %s: %w: %w", path, errState, err)
	}
	return d, nil
}

func compact(b []byte) []byte {
	var out bytes.Buffer
	if json.Compact(&out, b) != nil {
		return b
	}
	return out.Bytes()
}

// writeDurable is on the disk when it returns nil; after an error the file has the old state, or the new one that might not outlive a crash.
func writeDurable(dir string, d durable) error {
	state, err := json.Marshal(d)
	if err != nil {
		return fmt.Errorf("policyplane: state: %w", err)
	}
	b, err := json.MarshalIndent(envelope{stateVersion, sum(compact(state)), state}, "", " ")
	if err != nil {
		return fmt.Errorf("policyplane: state: %w", err)
	}
	if err := atomicfile.Write(filepath.Join(dir, stateFile), append(b, '\n'), 0o600); err != nil {
		return fmt.Errorf("policyplane: state: %w", err)
	}
	return nil
}

// bootID tells this boot of the machine from others.
func bootID() string {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "unknown"
	}
	return string(bytes.TrimSpace(b))
}
