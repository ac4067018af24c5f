// SPDX-License-Identifier: Apache-2.0

package manager

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/holdfast-project/holdfast/internal/atomicfile"
	"github.com/holdfast-project/holdfast/internal/regularfile"
	"github.com/holdfast-project/holdfast/management"
	"github.com/holdfast-project/holdfast/management/pki"
)

// identityFile is the file in the directory of Options.Dir.
const identityFile = "identity.pem"

// maxIdentity is the longest that is read, in bytes.
const maxIdentity = 64 << 10

// Identity is whom management knows this member as.
type Identity struct {
	Cluster, Member string
	Serial          string // of the certificate, as management lists and revokes it
	NotBefore       time.Time
	NotAfter        time.Time
	RenewAt         time.Time // when two thirds of its life are over
}

// ReadIdentity reads the certificate that is there; errors.Is(err, fs.ErrNotExist) says that this member is not enrolled.
func ReadIdentity(dir string) (Identity, error) {
	c, err := readCredentials(dir)
	if err != nil {
		return Identity{}, err
	}
	return c.Identity, nil
}

// credentials are an identity with its key.
type credentials struct {
	Identity
	certificate tls.Certificate
	authority   []byte // PEM
	file        []byte
}

func readCredentials(dir string) (*credentials, error) {
	name := filepath.Join(dir, identityFile)
	f, info, err := regularfile.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("%s: mode %v lets others read the key: chmod 600", name, info.Mode().Perm())
	}
	file, err := regularfile.Rest(f, maxIdentity)
	if errors.Is(err, regularfile.ErrTooLarge) {
		return nil, fmt.Errorf("%w: it is not what enrolment wrote; enrol again", err)
	}
	if err != nil {
		return nil, err
	}
	c, err := parseCredentials(file)
	if err != nil {
		return nil, fmt.Errorf("%s: %w: enrol again", name, err)
	}
	return c, nil
}

// parseCredentials reads the key, the certificate and the authority's, in this order.
func parseCredentials(file []byte) (*credentials, error) {
	var key *pem.Block
	var certs [][]byte
	for rest := file; ; {
		var b *pem.Block
		if b, rest = pem.Decode(rest); b == nil {
			break
		}
		switch b.Type {
		case "PRIVATE KEY":
			key = b
		case "CERTIFICATE":
			certs = append(certs, b.Bytes)
		}
	}
	if key == nil || len(certs) != 2 {
		return nil, errors.New("key, certificate or authority is missing")
	}
	leaf, err := x509.ParseCertificate(certs[0])
	if err != nil {
		return nil, err
	}
	own, err := pki.ParseKey(pem.EncodeToMemory(key))
	if err != nil {
		return nil, err
	}
	if public, is := leaf.PublicKey.(*ecdsa.PublicKey); !is || !own.PublicKey.Equal(public) {
		return nil, errors.New("key and certificate do not belong together")
	}
	whose, err := pki.Read(leaf)
	if err != nil {
		return nil, err
	}
	if whose.Kind != management.MemberCertificate {
		return nil, fmt.Errorf("the certificate is that of %s, which is no member", whose.Name())
	}
	c := &credentials{certificate: tls.Certificate{Certificate: certs[:1], PrivateKey: own, Leaf: leaf}, file: file}
	c.authority = pki.EncodeCertificate(certs[1])
	c.Identity = Identity{
		Cluster: whose.Cluster, Member: whose.Member, Serial: whose.Serial, NotBefore: whose.NotBefore, NotAfter: whose.NotAfter, RenewAt: whose.RenewAfter(),
	}
	return c, nil
}

// join makes the file of what management answered, and reads it as it will be read.
func join(key []byte, certificate, authority string) (*credentials, error) {
	return parseCredentials(bytes.Join([][]byte{key, []byte(certificate), []byte(authority)}, []byte("\n")))
}

// save writes the file whole or not at all.
func (c *credentials) save(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return atomicfile.Write(filepath.Join(dir, identityFile), c.file, 0o600)
}
