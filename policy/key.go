// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"io"
	"strings"
)

// Keys rest in PEM, as openssl writes them: "openssl genpkey -algorithm ed25519" makes a private one, "openssl pkey -pubout" the public
// one of it. A file of public keys may hold several.
const (
	pemPrivate = "PRIVATE KEY"
	pemPublic  = "PUBLIC KEY"
	// MaxKeys is how many public keys a file may hold.
	MaxKeys = 16
)

// GenerateKey makes a key from 32 bytes of random and returns both its files.
func GenerateKey(random io.Reader) (private, public []byte, err error) {
	pub, key, err := ed25519.GenerateKey(random)
	if err != nil {
		return nil, nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: pemPrivate, Bytes: der}), EncodePublicKey(pub), nil
}

// EncodePublicKey writes the PEM block of a public key.
func EncodePublicKey(key ed25519.PublicKey) []byte {
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return nil // not for this type
	}
	return pem.EncodeToMemory(&pem.Block{Type: pemPublic, Bytes: der})
}

// ParsePrivateKey reads the one key of a file. No error shows any part of it.
func ParsePrivateKey(file []byte) (ed25519.PrivateKey, error) {
	const wayOut = `make one with "holdfast policy keygen"`
	block, _ := pem.Decode(file)
	if block == nil || block.Type != pemPrivate {
		return nil, bad(ErrContent, "private key", "no PEM block %q; %s", pemPrivate, wayOut)
	}
	any, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, bad(ErrContent, "private key", "not PKCS #8; %s", wayOut)
	}
	key, ok := any.(ed25519.PrivateKey)
	if !ok {
		return nil, bad(ErrContent, "private key", "not Ed25519; %s", wayOut)
	}
	return key, nil
}

// ParsePublicKeys reads the keys of a file, at least one.
func ParsePublicKeys(file []byte) ([]ed25519.PublicKey, error) {
	var keys []ed25519.PublicKey
	for {
		block, rest := pem.Decode(file)
		if block == nil {
			break
		}
		file = rest
		any, err := x509.ParsePKIXPublicKey(block.Bytes)
		key, ok := any.(ed25519.PublicKey)
		switch {
		case block.Type != pemPublic:
			return nil, bad(ErrContent, "public keys", "a PEM block %q; a file of public keys holds nothing else", block.Type)
		case err != nil || !ok:
			return nil, bad(ErrContent, "public keys", "block %d is no Ed25519 key", len(keys)+1)
		case len(keys) == MaxKeys:
			return nil, bad(ErrOversized, "public keys", "more than %d", MaxKeys)
		}
		keys = append(keys, key)
	}
	if len(keys) == 0 {
		return nil, bad(ErrContent, "public keys", "no PEM block %q", pemPublic)
	}
	return keys, nil
}

// Fingerprint is what people compare of a public key: 16 digits of its SHA-256.
func Fingerprint(key []byte) string {
	d := sha256.Sum256(key)
	return hex.EncodeToString(d[:8])
}

func fingerprints(keys []ed25519.PublicKey) string {
	if len(keys) == 0 {
		return "none"
	}
	var all []string
	for _, k := range keys {
		all = append(all, Fingerprint(k))
	}
	return strings.Join(all, ", ")
}
