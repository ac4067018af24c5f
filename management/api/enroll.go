// SPDX-License-Identifier: Apache-2.0

package api

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/holdfast-project/holdfast/management"
)

// fingerprintSize is how much of a SHA-256 names an authority: what is to be found is a second certificate for a given one.
const fingerprintSize = 16

// Fingerprint names an authority's certificate: 32 hexadecimal digits of its SHA-256.
func Fingerprint(der []byte) string {
	sum := sha256.Sum256(der)
	return hex.EncodeToString(sum[:fingerprintSize])
}

// Grant is what is handed to somebody who is to enrol: the one-time token, and the authority that the server must show, so that the token goes to
// nobody else.
type Grant struct {
	Token       string
	Fingerprint string
}

// String is the form that people copy: TOKEN.FINGERPRINT.
func (g Grant) String() string { return g.Token + "." + g.Fingerprint }

// ParseGrant reads String's form. The error shows nothing of the token.
func ParseGrant(text string) (Grant, error) {
	token, fingerprint, ok := strings.Cut(strings.TrimSpace(text), ".")
	if sum, err := hex.DecodeString(fingerprint); !ok || err != nil || len(sum) != fingerprintSize || fingerprint != strings.ToLower(fingerprint) {
		return Grant{}, fmt.Errorf("token: %w: it is TOKEN.FINGERPRINT in one piece, as holdfast-mgmt printed it", management.ErrTokenUnknown)
	}
	if _, err := management.TokenID(token); err != nil {
		return Grant{}, fmt.Errorf("token: %w", err)
	}
	return Grant{Token: token, Fingerprint: fingerprint}, nil
}

// maxGrant is more than a Grant's text has, in bytes.
const maxGrant = 4 << 10

// ReadGrant reads the text of a Grant from the first line of what somebody pipes into a command: there no list of processes shows it. A nil in is a command
// without a standard input.
func ReadGrant(in io.Reader) (string, error) {
	if in == nil {
		return "", errors.New("-: there is no standard input")
	}
	line, err := bufio.NewReader(io.LimitReader(in, maxGrant)).ReadString('\n')
	if line = strings.TrimSpace(line); line != "" {
		return line, nil
	}
	if err == nil {
		err = errors.New("its first line is empty")
	}
	return "", fmt.Errorf("-: no token on the standard input: %w", err)
}

// EnrollRequest asks for a certificate. Whose it is, the token says: what names the certificate request has is not looked at.
type EnrollRequest struct {
	Token string `json:"token"`
	CSR   string `json:"csr"` // PEM, PKCS #10, an ECDSA key on P-256
	// Kind and For say for whom the client takes the token to be: one that is for somebody else is refused, and stays good.
	Kind string `json:"kind,omitempty"` // member or person; "": either
	For  string `json:"for,omitempty"`  // CLUSTER/MEMBER; "": anybody
}

// The kinds of an EnrollRequest.
const (
	EnrollMember = "member"
	EnrollPerson = "person"
)

// RenewRequest asks for another certificate for the same name.
type RenewRequest struct {
	CSR string `json:"csr"` // PEM; the key may be a new one
}

// Enrolment is a certificate with what goes with it.
type Enrolment struct {
	Certificate string    `json:"certificate"` // PEM
	CA          string    `json:"ca"`          // PEM of the authority that management's servers are certified by
	Serial      string    `json:"serial"`
	NotAfter    time.Time `json:"not_after"`
	RenewAfter  time.Time `json:"renew_after"` // two thirds of its life

	// Of a member.
	Cluster    string `json:"cluster,omitempty"`
	ClusterID  uint16 `json:"cluster_id,omitempty"`
	Member     string `json:"member,omitempty"`
	PolicyKeys string `json:"policy_keys,omitempty"` // PEM of the keys that sign policies

	// Of a person.
	User  string `json:"user,omitempty"`
	Role  string `json:"role,omitempty"`
	Token string `json:"token,omitempty"` // to be shown with each request
}
