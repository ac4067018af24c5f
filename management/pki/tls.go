// SPDX-License-Identifier: Apache-2.0

package pki

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"time"
)

// ServerTLS is a server's side: TLS 1.3, HTTP/2. It asks for a client's certificate and judges none: Verify does, per request, so that a client
// that is refused learns why. certificate is asked for at each handshake.
func ServerTLS(certificate func() (*tls.Certificate, error)) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13, NextProtos: []string{"h2", "http/1.1"}, ClientAuth: tls.RequestClientCert,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return certificate() },
		// A resumed session would go on with a certificate that has been renewed or revoked since.
		SessionTicketsDisabled: true,
	}
}

// ClientTLS is a client's side, for whom servers of the authority in ca are the right ones. own may be nil: then it shows no certificate.
func ClientTLS(ca []byte, own *tls.Certificate) (*tls.Config, error) {
	c, err := ParseCertificate(ca)
	if err != nil {
		return nil, fmt.Errorf("authority: %w", err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(c)
	cfg := &tls.Config{MinVersion: tls.VersionTLS13, RootCAs: pool}
	if own != nil {
		// Sent whatever authorities the server names: it judges it, and says why it refuses it.
		cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return own, nil }
	}
	return cfg, nil
}

// PinnedTLS is the side of a client that knows no more of the authority than its fingerprint, as matches judges the DER: one that enrols. The
// server has to show the authority's certificate and one of its own that the authority issued for a server; each of them is the right one,
// under whatever name it is reached.
func PinnedTLS(matches func(der []byte) bool, now func() time.Time) *tls.Config {
	return &tls.Config{
		MinVersion:         tls.VersionTLS13,
		InsecureSkipVerify: true, //nolint:gosec // VerifyConnection below does what it skips, with the authority that the fingerprint names
		VerifyConnection: func(s tls.ConnectionState) error {
			for _, c := range s.PeerCertificates[min(1, len(s.PeerCertificates)):] {
				if !c.IsCA || !matches(c.Raw) {
					continue
				}
				pool := x509.NewCertPool()
				pool.AddCert(c)
				_, err := s.PeerCertificates[0].Verify(x509.VerifyOptions{Roots: pool, CurrentTime: now()})
				return timed(err, s.PeerCertificates[0], now())
			}
			return fmt.Errorf("the server's %w: compare the token's last part with the one that \"holdfast-mgmt init\" printed", ErrAuthority)
		},
	}
}

// timed makes the package's error of crypto/x509's about time.
func timed(err error, c *x509.Certificate, now time.Time) error {
	var invalid x509.CertificateInvalidError
	if !errors.As(err, &invalid) || invalid.Reason != x509.Expired {
		return err
	}
	e := &TimeError{Serial: c.SerialNumber.Text(16), Bound: c.NotAfter, Now: now, Err: ErrExpired}
	if now.Before(c.NotBefore) {
		e.Bound, e.Err = c.NotBefore, ErrEarly
	}
	return e
}
