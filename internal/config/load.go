// SPDX-License-Identifier: Apache-2.0

package config

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/holdfast-project/holdfast/internal/regularfile"
)

// Load reads and checks the file at path, and that its key file is there, is one, and is readable by its owner only. The error joins
// every problem found; Problems takes it apart.
func Load(path string) (*Cluster, error) {
	data, err := regularfile.Read(path, maxFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read configuration: %w; name another file, or write this one: deploy/cluster.yaml explains every key", err)
	}
	if errors.Is(err, regularfile.ErrTooLarge) {
		return nil, fmt.Errorf("read configuration: %w; split the cluster", err)
	}
	if errors.Is(err, regularfile.ErrNotRegular) {
		return nil, fmt.Errorf("read configuration: %w; name a file", err)
	}
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	c, b := parse(path, data)
	if b.raw.Line != 0 { // there is a file to speak of
		if !filepath.IsAbs(c.KeyFile) {
			c.KeyFile = filepath.Join(filepath.Dir(path), c.KeyFile)
		}
		b.checkKey()
		if s := c.Notify.SNMP; s != nil && !filepath.IsAbs(s.SecretsFile) {
			s.SecretsFile = filepath.Join(filepath.Dir(path), s.SecretsFile)
		}
		b.checkSecrets()
		b.loadPolicyKeys()
	}
	if err := b.err(); err != nil {
		return nil, err
	}
	return c, nil
}

// Parse checks the text of a cluster.yaml without touching the file system; name is used in messages only. KeyFile stays as written.
func Parse(name string, data []byte) (*Cluster, error) {
	c, b := parse(name, data)
	if err := b.err(); err != nil {
		return nil, err
	}
	return c, nil
}

func parse(name string, data []byte) (*Cluster, *builder) {
	p := &problems{file: name}
	b := &builder{problems: p, c: &Cluster{Path: name}}
	raw, ok := decoder{p}.file(data)
	if ok {
		b.raw = raw
		b.build()
	}
	return b.c, b
}

// checkKey adds what is wrong with the key file to the problems of the file that names it.
func (b *builder) checkKey() {
	s := b.raw.KeyFile
	if !s.set {
		s = scalar{path: "key-file", line: b.raw.Line}
	}
	s.text = b.c.KeyFile
	var k *KeyError
	switch _, err := LoadKey(b.c.KeyFile); {
	case err == nil:
	case errors.As(err, &k):
		b.add(s, k.WayOut, "%s", k.What)
	case errors.Is(err, fs.ErrNotExist):
		b.add(s, "copy it from another member, or make it: holdfast key generate "+b.c.KeyFile, "no such file")
	default:
		b.add(s, "run as its owner", "%v", err)
	}
}
