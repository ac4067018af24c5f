// SPDX-License-Identifier: Apache-2.0

package defines

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/holdfast-project/holdfast/internal/atomicfile"
)

// runDir is where the files of all members of this host are.
const runDir = "/run/holdfast"

// Path is the file of a member: it holds until the machine is booted anew.
func Path(cluster, member string) string {
	return filepath.Join(runDir, cluster, member, "defines.nft")
}

// Write makes the file hold text, in one step: a ruleset that is loaded meanwhile includes the old one or the new one. It makes the
// directory, and reports whether anything changed; rulesets that include the file have to be loaded again then.
func Write(path, text string) (changed bool, err error) {
	if now, err := os.ReadFile(path); err == nil && bytes.Equal(now, []byte(text)) {
		return false, nil
	}
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return false, fmt.Errorf("definitions for rulesets: %w", err)
	}
	if err := atomicfile.Write(path, []byte(text), 0o644); err != nil { // no secret, and nft may run as another user
		return false, fmt.Errorf("definitions for rulesets: %w", err)
	}
	return true, nil
}

// Remove takes the file away, and its member's and cluster's directories if they are empty then; a file that is not there is no error.
func Remove(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("definitions for rulesets: %w", err)
	}
	dir := filepath.Dir(path)
	if os.Remove(dir) == nil { // else something else is in it, or it is gone
		_ = os.Remove(filepath.Dir(dir))
	}
	return nil
}
