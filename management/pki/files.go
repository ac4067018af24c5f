// SPDX-License-Identifier: Apache-2.0

package pki

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
)

// block reads the one PEM block of a file.
func block(file []byte, kind string) ([]byte, error) {
	b, rest := pem.Decode(file)
	if b == nil || b.Type != kind || len(bytes.TrimSpace(rest)) > 0 {
		return nil, fmt.Errorf("%w: one block %s", ErrFile, kind)
	}
	return b.Bytes, nil
}

// ParseCertificate reads a file with one certificate.
func ParseCertificate(file []byte) (*x509.Certificate, error) {
	der, err := block(file, "CERTIFICATE")
	if err != nil {
		return nil, err
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFile, err)
	}
	return c, nil
}

// EncodeKey writes the PEM block of a private key, PKCS #8.
func EncodeKey(key *ecdsa.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

// ParseKey reads a file with one private key on P-256. The error shows nothing of it.
func ParseKey(file []byte) (*ecdsa.PrivateKey, error) {
	der, err := block(file, "PRIVATE KEY")
	if err != nil {
		return nil, err
	}
	key, err := x509.ParsePKCS8PrivateKey(der)
	if k, ok := key.(*ecdsa.PrivateKey); err == nil && ok && k.Curve == elliptic.P256() {
		return k, nil
	}
	return nil, fmt.Errorf("%w: an ECDSA key on P-256", ErrFile)
}

// NewRequest makes a key and a request to certify it, both in PEM. Whom the certificate is for, the server decides: the request names nobody.
func NewRequest(random io.Reader) (key, csr []byte, err error) {
	priv, err := ecdsa.GenerateKey(elliptic.P256(), random)
	if err != nil {
		return nil, nil, fmt.Errorf("key: %w", err)
	}
	if key, err = EncodeKey(priv); err != nil {
		return nil, nil, err
	}
	der, err := x509.CreateCertificateRequest(random, &x509.CertificateRequest{}, priv)
	if err != nil {
		return nil, nil, fmt.Errorf("certificate request: %w", err)
	}
	return key, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}), nil
}

// ParseRequest reads a request and returns its key, which its owner has shown to have. The error wraps ErrRequest.
func ParseRequest(csr []byte) (*ecdsa.PublicKey, error) {
	der, err := block(csr, "CERTIFICATE REQUEST")
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRequest, err)
	}
	r, err := x509.ParseCertificateRequest(der)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRequest, err)
	}
	key, ok := r.PublicKey.(*ecdsa.PublicKey)
	if !ok || key.Curve != elliptic.P256() {
		return nil, fmt.Errorf("%w: an ECDSA key on P-256 is wanted", ErrRequest)
	}
	if err := r.CheckSignature(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRequest, err)
	}
	return key, nil
}
