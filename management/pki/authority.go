// SPDX-License-Identifier: Apache-2.0

package pki

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"time"

	"github.com/holdfast-project/holdfast/management"
)

const (
	// Life is how long the authority's own certificate is good.
	Life = 20 * 365 * 24 * time.Hour
	// slack is how far into the past a certificate begins, for clocks that are a little behind.
	slack = 5 * time.Minute

	serialSize = 16
)

// Authority issues and verifies certificates. Safe for concurrent use.
type Authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	pool        *x509.CertPool
}

// NewAuthority makes an authority and returns the PEM of its certificate and of its key. name is for people to tell authorities apart.
func NewAuthority(random io.Reader, name string, now time.Time) (certificate, key []byte, err error) {
	priv, err := ecdsa.GenerateKey(elliptic.P256(), random)
	if err != nil {
		return nil, nil, fmt.Errorf("authority: key: %w", err)
	}
	number, err := newSerial(random)
	if err != nil {
		return nil, nil, err
	}
	template := &x509.Certificate{
		SerialNumber: number, Subject: pkix.Name{CommonName: name}, NotBefore: now.Add(-slack), NotAfter: now.Add(Life),
		IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	der, err := x509.CreateCertificate(random, template, template, priv.Public(), priv)
	if err != nil {
		return nil, nil, fmt.Errorf("authority: %w", err)
	}
	keyPEM, err := EncodeKey(priv)
	if err != nil {
		return nil, nil, err
	}
	return EncodeCertificate(der), keyPEM, nil
}

// LoadAuthority reads what NewAuthority wrote. The error wraps ErrFile and shows nothing of the key.
func LoadAuthority(certificate, key []byte) (*Authority, error) {
	c, err := ParseCertificate(certificate)
	if err != nil {
		return nil, fmt.Errorf("authority: %w", err)
	}
	k, err := ParseKey(key)
	if err != nil {
		return nil, fmt.Errorf("authority: %w", err)
	}
	if pub, ok := c.PublicKey.(*ecdsa.PublicKey); !c.IsCA || !ok || !pub.Equal(k.Public()) {
		return nil, fmt.Errorf("authority: %w: the certificate is not of this key", ErrFile)
	}
	a := &Authority{certificate: c, key: k, pool: x509.NewCertPool()}
	a.pool.AddCert(c)
	return a, nil
}

// Certificate is the DER of the authority's own certificate, to be trusted by members and people.
func (a *Authority) Certificate() []byte { return a.certificate.Raw }

// Issue certifies a key for an identity, from now for a time; names are the host names and addresses of a server. It returns the DER.
func (a *Authority) Issue(random io.Reader, key *ecdsa.PublicKey, whose Identity, names []string, now time.Time, life time.Duration) ([]byte, Shown, error) {
	number, err := newSerial(random)
	if err != nil {
		return nil, Shown{}, err
	}
	template := &x509.Certificate{
		SerialNumber: number, Subject: pkix.Name{CommonName: whose.Name()}, NotBefore: now.Add(-slack), NotAfter: now.Add(life),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, BasicConstraintsValid: true,
	}
	template.URIs = append(template.URIs, whose.uri())
	if whose.Kind == management.ServerCertificate {
		template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
		for _, n := range names {
			if ip := net.ParseIP(n); ip != nil {
				template.IPAddresses = append(template.IPAddresses, ip)
			} else {
				template.DNSNames = append(template.DNSNames, n)
			}
		}
	}
	der, err := x509.CreateCertificate(random, template, a.certificate, key, a.key)
	if err != nil {
		return nil, Shown{}, fmt.Errorf("certificate for %s: %w", whose.Name(), err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, Shown{}, fmt.Errorf("certificate for %s: %w", whose.Name(), err)
	}
	shown, err := Read(c)
	if err != nil || shown.Identity != whose {
		return nil, Shown{}, fmt.Errorf("certificate for %q: %w: the name has characters that a certificate cannot carry", whose.Name(), ErrIdentity)
	}
	return der, shown, nil
}

// Verify says whose a client's certificate is. Its time is judged last, so that one who is told "expired" is the one it was issued to. The error
// wraps ErrNone, ErrAuthority, ErrIdentity, ErrExpired or ErrEarly; Shown is filled in the last two cases.
func (a *Authority) Verify(chain []*x509.Certificate, now time.Time) (Shown, error) {
	s, err := a.Whose(chain)
	if err != nil {
		return Shown{}, err
	}
	return s, s.At(now)
}

// Whose is Verify without time: its answer for a certificate never changes. The error wraps ErrNone, ErrAuthority or ErrIdentity.
func (a *Authority) Whose(chain []*x509.Certificate) (Shown, error) {
	if len(chain) == 0 {
		return Shown{}, ErrNone
	}
	c := chain[0]
	within := x509.VerifyOptions{Roots: a.pool, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}, CurrentTime: c.NotBefore}
	if _, err := c.Verify(within); err != nil || c.IsCA {
		return Shown{}, fmt.Errorf("certificate of %q: %w", c.Subject.CommonName, ErrAuthority)
	}
	s, err := Read(c)
	if err != nil {
		return Shown{}, err
	}
	if s.Kind == management.ServerCertificate || len(c.ExtKeyUsage) != 1 || c.ExtKeyUsage[0] != x509.ExtKeyUsageClientAuth {
		return Shown{}, fmt.Errorf("certificate %s: %w: it is a server's", s.Serial, ErrIdentity)
	}
	return s, nil
}

func newSerial(random io.Reader) (*big.Int, error) {
	b := make([]byte, serialSize)
	if _, err := io.ReadFull(random, b); err != nil {
		return nil, fmt.Errorf("certificate: randomness: %w", err)
	}
	b[0] = b[0]&0x7f | 0x40 // positive, and always of the same length
	return new(big.Int).SetBytes(b), nil
}

// EncodeCertificate writes the PEM block of a certificate.
func EncodeCertificate(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}
