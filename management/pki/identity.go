// SPDX-License-Identifier: Apache-2.0

package pki

import (
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/holdfast-project/holdfast/management"
)

// Identity is whose a certificate is.
type Identity struct {
	Kind    management.CertificateKind
	Cluster string // of a member
	Member  string
	User    string
	Host    string // of a server: how it is called in records; what clients check are the names beside it
}

// Name is how people and records call it.
func (i Identity) Name() string {
	switch i.Kind {
	case management.MemberCertificate:
		return i.Cluster + "/" + i.Member
	case management.PersonCertificate:
		return i.User
	default:
		return i.Host
	}
}

func (i Identity) uri() *url.URL {
	return &url.URL{Scheme: "holdfast", Opaque: i.Kind.String() + "/" + i.Name()}
}

// Shown is a certificate that was found good: whose it is, and which it is.
type Shown struct {
	Identity
	Serial    string
	NotBefore time.Time
	NotAfter  time.Time
}

// Record is the certificate as the store keeps it; who issued it and when is for the caller to add.
func (s Shown) Record() management.Certificate {
	return management.Certificate{
		Serial: s.Serial, Kind: s.Kind, Cluster: s.Cluster, Member: s.Member, User: s.User, Host: s.Host,
		NotBefore: s.NotBefore.UnixNano(), NotAfter: s.NotAfter.UnixNano(),
	}
}

// At says whether the certificate is good at a time. The error is a *TimeError.
func (s Shown) At(now time.Time) error {
	switch {
	case now.After(s.NotAfter):
		return &TimeError{Serial: s.Serial, Bound: s.NotAfter, Now: now, Err: ErrExpired}
	case now.Before(s.NotBefore):
		return &TimeError{Serial: s.Serial, Bound: s.NotBefore, Now: now, Err: ErrEarly}
	}
	return nil
}

// RenewAfter is when two thirds of the certificate's life are over.
func (s Shown) RenewAfter() time.Time { return s.NotBefore.Add(s.NotAfter.Sub(s.NotBefore) * 2 / 3) }

// Read says whose a certificate is without asking whether it is good: Verify does. The error wraps ErrIdentity.
func Read(c *x509.Certificate) (Shown, error) {
	s := Shown{Serial: hex.EncodeToString(c.SerialNumber.Bytes()), NotBefore: c.NotBefore, NotAfter: c.NotAfter}
	if len(c.URIs) != 1 || c.URIs[0].Scheme != "holdfast" {
		return s, fmt.Errorf("certificate %s: %w: it has no holdfast: URI", s.Serial, ErrIdentity)
	}
	parts := strings.Split(c.URIs[0].Opaque, "/")
	if err := s.Kind.UnmarshalText([]byte(parts[0])); err != nil {
		return s, fmt.Errorf("certificate %s: %w: %s", s.Serial, ErrIdentity, c.URIs[0])
	}
	switch {
	case s.Kind == management.MemberCertificate && len(parts) == 3:
		s.Cluster, s.Member = parts[1], parts[2]
	case s.Kind == management.PersonCertificate && len(parts) == 2:
		s.User = parts[1]
	case s.Kind == management.ServerCertificate && len(parts) == 2:
		s.Host = parts[1]
	default:
		return s, fmt.Errorf("certificate %s: %w: %s", s.Serial, ErrIdentity, c.URIs[0])
	}
	return s, nil
}
