// SPDX-License-Identifier: Apache-2.0

package ccp

import (
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
)

// ClusterKey is the secret that all members of a cluster share, from the key file. Every other key is derived from it.
type ClusterKey [32]byte

// kdfSalt separates this protocol's keys from any other use of the same secret.
const kdfSalt = "holdfast ccp 1"

// GateKey derives the key of the tags that cluster's gates check.
func (k ClusterKey) GateKey(cluster uint16) GateKey {
	return GateKey(k.derive(binary.BigEndian.AppendUint16([]byte("gate "), cluster), len(GateKey{})))
}

// Fingerprint identifies the key to members that hold it and tells nobody else anything about it.
func (k ClusterKey) Fingerprint(cluster uint16) uint64 {
	return binary.BigEndian.Uint64(k.derive(binary.BigEndian.AppendUint16([]byte("name "), cluster), 8))
}

// TallyKey derives the key of the hashes that cluster's members compare their tables by: who sees a digest learns nothing from it, and
// nobody outside can make connections whose hashes collide.
func (k ClusterKey) TallyKey(cluster uint16) [16]byte {
	return [16]byte(k.derive(binary.BigEndian.AppendUint16([]byte("tally "), cluster), 16))
}

// sealKey derives the AES-256 key that the given incarnation of member source seals its frames with.
func (k ClusterKey) sealKey(cluster uint16, source uint8, incarnation uint64) []byte {
	info := binary.BigEndian.AppendUint16([]byte("seal "), cluster)
	info = append(info, source)
	return k.derive(binary.BigEndian.AppendUint64(info, incarnation), 32)
}

// derive is HKDF-SHA256 with this protocol's salt.
func (k ClusterKey) derive(info []byte, n int) []byte {
	out, err := hkdf.Key(sha256.New, k[:], []byte(kdfSalt), string(info), n)
	if err != nil {
		// hkdf.Key refuses only lengths beyond 255 digests, and n is a constant of at most 32 bytes.
		panic("ccp: derive: " + err.Error())
	}
	return out
}
