// SPDX-License-Identifier: Apache-2.0

package config

import (
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"

	"github.com/holdfast-project/holdfast/internal/regularfile"
)

// Secrets are what SNMP managers must know of a sender, from a file that its owner alone may use. Their String shows nothing.
type Secrets struct {
	Community, AuthPassphrase, PrivPassphrase string
}

// String hides them from whoever prints them.
func (Secrets) String() string { return "(secrets)" }

// GoString hides them too.
func (Secrets) GoString() string { return "(secrets)" }

// minPassphrase is the shortest passphrase of SNMPv3 (RFC 3414 section 11.2).
const minPassphrase = 8

// LoadSecrets returns what s needs: the community of the configuration, or what the secrets file holds. A file that others than its
// owner can use is refused.
func (s *SNMP) LoadSecrets() (Secrets, error) {
	if !s.NeedsSecrets() {
		if s == nil {
			return Secrets{}, nil
		}
		return Secrets{Community: s.Community}, nil
	}
	text, err := readPrivate(s.SecretsFile, "secrets")
	if err != nil {
		return Secrets{}, err
	}
	return s.parseSecrets(text)
}

// parseSecrets reads lines "name: value"; '#' at the beginning of a line starts a comment. No error shows a value.
func (s *SNMP) parseSecrets(text []byte) (Secrets, error) {
	var found Secrets
	fields := map[string]*string{"community": &found.Community, "auth-passphrase": &found.AuthPassphrase, "priv-passphrase": &found.PrivPassphrase}
	for i, line := range strings.Split(string(text), "\n") {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		name, value, ok := strings.Cut(line, ":")
		field := fields[strings.TrimSpace(name)]
		if value = strings.TrimSpace(value); !ok || field == nil || value == "" || *field != "" {
			return Secrets{}, &KeyError{s.SecretsFile, "line " + strconv.Itoa(i+1) + " is not one of the secrets, or is there twice",
				"write lines community: ..., auth-passphrase: ..., priv-passphrase: ..."}
		}
		*field = value
	}
	for _, k := range []struct {
		needed bool
		name   string
		value  string
		least  int
	}{
		{s.Version == "2c", "community", found.Community, 1},
		{s.Auth != "", "auth-passphrase", found.AuthPassphrase, minPassphrase},
		{s.Priv != "", "priv-passphrase", found.PrivPassphrase, minPassphrase},
	} {
		if k.needed && len(k.value) < k.least {
			return Secrets{}, &KeyError{s.SecretsFile, "no " + k.name + " of at least " + strconv.Itoa(k.least) + " characters", "add a line " + k.name + ": ..."}
		}
	}
	return found, nil
}

// checkSecrets adds what is wrong with the secrets file to the problems of the file that names it.
func (b *builder) checkSecrets() {
	if !b.c.Notify.SNMP.NeedsSecrets() {
		return
	}
	s := orAt(b.raw.Notify.SNMP.SecretsFile, b.raw.Notify.SNMP.Line, "notify.snmp.secrets-file")
	s.text = b.c.Notify.SNMP.SecretsFile
	var k *KeyError
	switch _, err := b.c.Notify.SNMP.LoadSecrets(); {
	case err == nil:
	case errors.As(err, &k):
		b.add(s, k.WayOut, "%s", k.What)
	case errors.Is(err, fs.ErrNotExist):
		b.add(s, "write it, mode 0600, with the lines that deploy/cluster.yaml shows", "no such file")
	default:
		b.add(s, "run as its owner", "%v", err)
	}
}

// maxPrivate is the largest file with keys or secrets in bytes: what it must hold is a few hundred, the rest comments.
const maxPrivate = 64 << 10

// readPrivate reads a small file that nobody but its owner may use; what names it in errors.
func readPrivate(path, what string) ([]byte, error) {
	f, info, err := regularfile.Open(path)
	if errors.Is(err, regularfile.ErrNotRegular) {
		return nil, &KeyError{path, regularfile.ErrNotRegular.Error(), "name the file with the " + what}
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", what, err)
	}
	defer func() { _ = f.Close() }()
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return nil, &KeyError{path, fmt.Sprintf("mode %04o: others than its owner can use it", mode), "chmod 0600 " + path}
	}
	data, err := regularfile.Rest(f, maxPrivate)
	if errors.Is(err, regularfile.ErrTooLarge) {
		return nil, &KeyError{path, fmt.Sprintf("more than %d bytes", maxPrivate), "name the file with the " + what}
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", what, err)
	}
	return data, nil
}
