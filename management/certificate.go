// SPDX-License-Identifier: Apache-2.0

package management

import (
	"errors"
	"fmt"
	"regexp"
)

// ErrRevoked says that the certificate was taken back.
var ErrRevoked = errors.New("the certificate is revoked")

// CertificateKind is whose a certificate is.
type CertificateKind uint8

const (
	_ CertificateKind = iota
	// ServerCertificate is a management server's.
	ServerCertificate
	// MemberCertificate is a cluster member's.
	MemberCertificate
	// PersonCertificate is a person's.
	PersonCertificate
)

var certificateKinds = map[CertificateKind]string{ServerCertificate: "server", MemberCertificate: "member", PersonCertificate: "person"}

// String is the word of the store, the API and people.
func (k CertificateKind) String() string { return word(certificateKinds, k) }

// MarshalText writes the word.
func (k CertificateKind) MarshalText() ([]byte, error) {
	return marshalWord("kind", certificateKinds, k)
}

// UnmarshalText reads the word.
func (k *CertificateKind) UnmarshalText(text []byte) error {
	return unmarshalWord("kind", certificateKinds, k, text)
}

// Certificate is what management knows of a certificate that it issued.
type Certificate struct {
	Serial    string          `json:"serial"` // lower-case hexadecimal
	Kind      CertificateKind `json:"kind"`
	Cluster   string          `json:"cluster,omitempty"` // of a member's
	Member    string          `json:"member,omitempty"`
	User      string          `json:"user,omitempty"` // of a person's
	Host      string          `json:"host,omitempty"` // of a server's
	NotBefore int64           `json:"not_before"`
	NotAfter  int64           `json:"not_after"`
	Issued    int64           `json:"issued"`
	By        string          `json:"by"`
	Renews    string          `json:"renews,omitempty"` // serial of the one that asked for it
	Revoked   int64           `json:"revoked,omitempty"`
	RevokedBy string          `json:"revoked_by,omitempty"`
	Why       string          `json:"why,omitempty"` // of the revocation
}

var serial = regexp.MustCompile(`^[0-9a-f]{2,40}$`)

// Validate checks that a record says whose it is.
func (c Certificate) Validate() error {
	if !serial.MatchString(c.Serial) {
		return fmt.Errorf("certificate: serial %q: %w: 2 to 40 hexadecimal digits in lower case", c.Serial, ErrValue)
	}
	if c.NotAfter <= c.NotBefore {
		return fmt.Errorf("certificate %s: %w: it ends before it begins", c.Serial, ErrValue)
	}
	switch c.Kind {
	case MemberCertificate:
		if err := checkName("cluster", c.Cluster); err != nil {
			return err
		}
		return checkName("member", c.Member)
	case PersonCertificate:
		return checkName("user", c.User)
	default:
		_, err := c.Kind.MarshalText()
		return err
	}
}
