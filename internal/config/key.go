// SPDX-License-Identifier: Apache-2.0

package config

import "errors"

// KeySize is the size in bytes of a cluster key.
const KeySize = 32

// Key is one cluster key of the key file.
type Key struct {
	Number uint8         // 0..255; its low two bits select the gate's key slot
	Secret [KeySize]byte //
}

// LoadKey reads a key file: one or two lines "N:base64(32 bytes)", '#' starts a comment. The first key is the current one, the
// second its successor. A file that others than its owner can read is refused.
func LoadKey(path string) ([]Key, error) { return nil, errors.ErrUnsupported }
