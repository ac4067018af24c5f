// SPDX-License-Identifier: Apache-2.0

package management

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/holdfast-project/holdfast/policy"
)

// What can be wrong with a token that somebody shows. Who shows it is told no more than these words.
var (
	ErrTokenUnknown = errors.New("unknown token")
	ErrTokenUsed    = errors.New("the token has been used")
	ErrTokenExpired = errors.New("the token has expired")
	ErrTokenRevoked = errors.New("the token has been revoked")
)

// TokenKind is what a token is for.
type TokenKind uint8

const (
	_ TokenKind = iota
	// MemberToken enrols one member, once.
	MemberToken
	// PersonToken says who a person is, beside a certificate, until it expires or is revoked.
	PersonToken
	// PersonEnrolment gives a person a certificate, once.
	PersonEnrolment
)

var tokenKinds = map[TokenKind]string{MemberToken: "member", PersonToken: "person", PersonEnrolment: "person-enrolment"}

// String is the word of the store, the API and people.
func (k TokenKind) String() string { return word(tokenKinds, k) }

// MarshalText writes the word.
func (k TokenKind) MarshalText() ([]byte, error) { return marshalWord("kind", tokenKinds, k) }

// UnmarshalText reads the word.
func (k *TokenKind) UnmarshalText(text []byte) error {
	return unmarshalWord("kind", tokenKinds, k, text)
}

// Once reports whether the first use of a token is its last.
func (k TokenKind) Once() bool { return k == MemberToken || k == PersonEnrolment }

// Token is what management knows of a secret that it gave away: not the secret. A secret is 32 random bytes, so that a plain SHA-256 of it
// cannot be searched for.
type Token struct {
	ID      string        `json:"id"` // public
	Kind    TokenKind     `json:"kind"`
	Hash    policy.Digest `json:"hash"`
	Cluster string        `json:"cluster,omitempty"` // of a member's
	Member  string        `json:"member,omitempty"`
	User    string        `json:"user,omitempty"` // of a person's
	Created int64         `json:"created"`
	By      string        `json:"by"`
	Expires int64         `json:"expires"`
	Used    int64         `json:"used,omitempty"`    // of one that is used once
	For     string        `json:"for,omitempty"`     // serial of the certificate that it was used for
	Epoch   uint64        `json:"epoch,omitempty"`   // how often the store had been restored when it was made
	Revoked int64         `json:"revoked,omitempty"` // by an operator, or because the user, the member or the cluster is gone
}

const (
	tokenPrefix = "hfmt"
	tokenID     = 6  // bytes
	tokenSecret = 32 // bytes
)

// NewSecret makes an identifier and a secret from random, and the text that its owner is given: "hfmt_ID_SECRET".
func NewSecret(random io.Reader) (id, text string, hash policy.Digest, err error) {
	b := make([]byte, tokenID+tokenSecret)
	if _, err := io.ReadFull(random, b); err != nil {
		return "", "", hash, fmt.Errorf("token: randomness: %w", err)
	}
	id = hex.EncodeToString(b[:tokenID])
	text = strings.Join([]string{tokenPrefix, id, base64.RawURLEncoding.EncodeToString(b[tokenID:])}, "_")
	return id, text, sha256.Sum256([]byte(text)), nil
}

// TokenID is the public part of a token's text; the error wraps ErrTokenUnknown and shows nothing of the text.
func TokenID(text string) (string, error) {
	parts := strings.SplitN(text, "_", 3)
	if len(parts) != 3 || parts[0] != tokenPrefix || len(parts[1]) != 2*tokenID || len(text) > 128 {
		return "", fmt.Errorf("%w: a token is %s_ID_SECRET in one piece", ErrTokenUnknown, tokenPrefix)
	}
	if _, err := hex.DecodeString(parts[1]); err != nil {
		return "", fmt.Errorf("%w: a token is %s_ID_SECRET in one piece", ErrTokenUnknown, tokenPrefix)
	}
	return parts[1], nil
}

// Check says whether text, shown at a time, is this token's and may be used for kind. It takes as long for a wrong text as for a right one.
func (t Token) Check(text string, kind TokenKind, now int64) error {
	hash := sha256.Sum256([]byte(text))
	switch {
	case subtle.ConstantTimeCompare(hash[:], t.Hash[:]) != 1, t.Kind != kind:
		return ErrTokenUnknown
	case t.Revoked != 0:
		return ErrTokenRevoked
	case t.Used != 0 && kind.Once():
		return ErrTokenUsed
	case now >= t.Expires:
		return ErrTokenExpired
	}
	return nil
}
