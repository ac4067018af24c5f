// SPDX-License-Identifier: Apache-2.0

package node

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// termReserve is how many terms are reserved on disk at once. A claim must not wait for a disk, so the file holds a ceiling above
// every term in use; a member that starts takes the ceiling for the last term it used. 24 bits of terms last for 16,000 boots so,
// and for as many claims as ever.
const termReserve = 1024

// stored is what a member remembers across restarts and reboots.
type stored struct {
	TermCeiling uint32 `json:"term_ceiling"`         // no term above it was ever used by this member
	AdminDown   bool   `json:"admin_down,omitempty"` // taken out of service for good ("--permanent")
}

// store keeps stored in one file, replaced whole: a crash leaves the old or the new one.
type store struct {
	path string
	stored
}

// openStore reads dir/member.json; a missing file is an empty one, a damaged file is an error that says what to do.
func openStore(dir string) (*store, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("state-dir %s: %w", dir, err)
	}
	s := &store{path: filepath.Join(dir, "member.json")}
	text, err := os.ReadFile(s.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return s, nil
	case err != nil:
		return nil, fmt.Errorf("read what this member remembers: %w", err)
	}
	if err := json.Unmarshal(text, &s.stored); err != nil {
		return nil, fmt.Errorf("%s: %w: move it away; the member then takes its terms from its peers", s.path, err)
	}
	return s, nil
}

// reserve makes sure that term may be used without another write.
func (s *store) reserve(term uint32) error {
	if term <= s.TermCeiling {
		return nil
	}
	next := s.stored
	next.TermCeiling = term + termReserve
	return s.replace(next)
}

// low reports whether the ceiling is near enough to term to be raised in a quiet moment.
func (s *store) low(term uint32) bool { return term+termReserve/2 > s.TermCeiling }

// setAdminDown remembers whether the member is out of service for good.
func (s *store) setAdminDown(down bool) error {
	if s.AdminDown == down {
		return nil
	}
	next := s.stored
	next.AdminDown = down
	return s.replace(next)
}

func (s *store) replace(next stored) error {
	text, err := json.Marshal(next)
	if err != nil {
		return err
	}
	if err := writeFile(s.path, append(text, '\n')); err != nil {
		return fmt.Errorf("remember %s: %w", text, err)
	}
	s.stored = next
	return nil
}

// writeFile replaces path by a file that is on disk before the name points to it.
func writeFile(path string, text []byte) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(f.Name())
		}
	}()
	_, err = f.Write(text)
	if e := f.Sync(); err == nil {
		err = e
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
