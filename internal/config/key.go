// SPDX-License-Identifier: Apache-2.0

package config

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/holdfast-project/holdfast/internal/atomicfile"
)

// KeySize is the size in bytes of a cluster key.
const KeySize = 32

// Key is one cluster key of the key file.
type Key struct {
	Number uint8         // its low two bits select the gate's key slot
	Secret [KeySize]byte //
}

// KeyError says what is wrong with a key file.
type KeyError struct {
	Path, What, WayOut string
}

// Error implements error.
func (e *KeyError) Error() string { return e.Path + ": " + e.What + "; " + e.WayOut }

// LoadKey reads a key file: one or two lines "N:base64(32 bytes)"; '#' starts a comment. The first key is the current one, the second
// its successor; their numbers must differ in the low two bits. A file that others than its owner can use is refused.
func LoadKey(path string) ([]Key, error) {
	data, err := readPrivate(path, "cluster key")
	if err != nil {
		return nil, err
	}
	keys, err := ParseKeys(data)
	if k := (*KeyError)(nil); errors.As(err, &k) {
		k.Path = path
	}
	return keys, err
}

// ParseKeys reads the content of a key file. No error shows any part of a key.
func ParseKeys(data []byte) ([]Key, error) {
	const wayOut = `write one or two lines N:base64(32 bytes), as "holdfast key generate" does`
	var keys []Key
	for i, line := range strings.Split(string(data), "\n") {
		line, _, _ = strings.Cut(line, "#")
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		bad := func(what string) error {
			return &KeyError{"cluster key", "line " + strconv.Itoa(i+1) + ": " + what, wayOut}
		}
		number, text, ok := strings.Cut(line, ":")
		n, err := strconv.ParseUint(number, 10, 8)
		if !ok || err != nil || n == 0 {
			return nil, bad("no key number of 1 to 255 before a colon")
		}
		secret, err := base64.StdEncoding.Strict().DecodeString(text)
		if err != nil {
			return nil, bad("not base64")
		}
		if len(secret) != KeySize {
			return nil, bad(fmt.Sprintf("%d bytes, not %d", len(secret), KeySize))
		}
		k := Key{Number: uint8(n), Secret: [KeySize]byte(secret)}
		if k.Secret == [KeySize]byte{} {
			return nil, bad("a key of zeros")
		}
		if len(keys) == 2 {
			return nil, bad("a third key")
		}
		if len(keys) == 1 && keys[0].Number&3 == k.Number&3 {
			return nil, &KeyError{"cluster key", fmt.Sprintf("numbers %d and %d are the same modulo 4", keys[0].Number, k.Number),
				"number the new key " + strconv.Itoa(int(NextKeyNumber(keys[0].Number)))}
		}
		keys = append(keys, k)
	}
	if len(keys) == 0 {
		return nil, &KeyError{"cluster key", "no key", wayOut}
	}
	return keys, nil
}

// NextKeyNumber is the number of the key that follows key n: numbers go round from 255 to 1.
func NextKeyNumber(n uint8) uint8 {
	if n == 255 {
		return 1
	}
	return n + 1
}

// GenerateKey makes a key from KeySize bytes of random.
func GenerateKey(number uint8, random io.Reader) (Key, error) {
	k := Key{Number: number}
	if _, err := io.ReadFull(random, k.Secret[:]); err != nil {
		return Key{}, fmt.Errorf("generate cluster key: %w", err)
	}
	return k, nil
}

// WriteKeys writes a key file with mode 0600, replacing path in one step.
func WriteKeys(path string, keys []Key) error {
	var b bytes.Buffer
	b.WriteString("# Holdfast cluster key: the same on all members, readable by its owner only\n")
	for _, k := range keys {
		fmt.Fprintf(&b, "%d:%s\n", k.Number, base64.StdEncoding.EncodeToString(k.Secret[:]))
	}
	if err := atomicfile.Write(path, b.Bytes(), 0o600); err != nil {
		return fmt.Errorf("write cluster key: %w", err)
	}
	return nil
}
