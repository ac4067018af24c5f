// SPDX-License-Identifier: Apache-2.0

package pki

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"net"
	"testing"
	"time"

	"github.com/holdfast-project/holdfast/management"
)

var (
	begin  = time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)
	member = Identity{Kind: management.MemberCertificate, Cluster: "edge", Member: "gw-a"}
	person = Identity{Kind: management.PersonCertificate, User: "anna"}
	server = Identity{Kind: management.ServerCertificate, Host: "mgmt"}
)

func authority(t *testing.T) (*Authority, []byte) {
	t.Helper()
	cert, key, err := NewAuthority(rand.Reader, "test", begin)
	if err != nil {
		t.Fatal(err)
	}
	a, err := LoadAuthority(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	return a, cert
}

func issue(t *testing.T, a *Authority, whose Identity, names ...string) (*x509.Certificate, *tls.Certificate) {
	t.Helper()
	keyPEM, csr, err := NewRequest(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	pub, err := ParseRequest(csr)
	if err != nil {
		t.Fatal(err)
	}
	der, shown, err := a.Issue(rand.Reader, pub, whose, names, begin, 24*time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if r := shown.Record(); r.Validate() != nil && whose.Kind != management.ServerCertificate {
		t.Fatalf("record %+v: %v", r, r.Validate())
	}
	c, err := ParseCertificate(EncodeCertificate(der))
	if err != nil {
		t.Fatal(err)
	}
	key, err := ParseKey(keyPEM)
	if err != nil {
		t.Fatal(err)
	}
	return c, &tls.Certificate{Certificate: [][]byte{der, a.Certificate()}, PrivateKey: key}
}

func TestVerify(t *testing.T) {
	a, _ := authority(t)
	other, _ := authority(t)
	good, _ := issue(t, a, member)
	anna, _ := issue(t, a, person)
	host, _ := issue(t, a, server, "mgmt.example")
	stranger, _ := issue(t, other, member)
	self, err := x509.ParseCertificate(a.Certificate())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name  string
		chain []*x509.Certificate
		at    time.Time
		want  error
		whose Identity
	}{
		{"member", []*x509.Certificate{good}, begin, nil, member},
		{"person", []*x509.Certificate{anna}, begin.Add(23 * time.Hour), nil, person},
		{"clock a little behind", []*x509.Certificate{good}, begin.Add(-4 * time.Minute), nil, member},
		{"none", nil, begin, ErrNone, Identity{}},
		{"expired", []*x509.Certificate{good}, begin.Add(25 * time.Hour), ErrExpired, member},
		{"clock an hour behind", []*x509.Certificate{good}, begin.Add(-time.Hour), ErrEarly, member},
		{"another authority of the same name", []*x509.Certificate{stranger}, begin, ErrAuthority, Identity{}},
		{"another authority's, with ours beside it", []*x509.Certificate{stranger, good, self}, begin, ErrAuthority, Identity{}},
		{"another authority's, expired", []*x509.Certificate{stranger}, begin.Add(48 * time.Hour), ErrAuthority, Identity{}},
		{"a server's", []*x509.Certificate{host}, begin, ErrIdentity, Identity{}},
		{"the authority's own", []*x509.Certificate{self}, begin, ErrAuthority, Identity{}},
	} {
		got, err := a.Verify(c.chain, c.at)
		if !errors.Is(err, c.want) || got.Identity != c.whose {
			t.Errorf("%s: %+v, %v; want %+v, %v", c.name, got.Identity, err, c.whose, c.want)
		}
	}
}

func TestIssueRefusesNamesThatAreTwo(t *testing.T) {
	a, _ := authority(t)
	_, csr, _ := NewRequest(rand.Reader)
	pub, err := ParseRequest(csr)
	if err != nil {
		t.Fatal(err)
	}
	for _, whose := range []Identity{
		{Kind: management.PersonCertificate, User: "anna/x"}, {Kind: management.MemberCertificate, Cluster: "edge/gw-a", Member: "gw-b"},
	} {
		if _, _, err := a.Issue(rand.Reader, pub, whose, nil, begin, time.Hour); !errors.Is(err, ErrIdentity) {
			t.Errorf("%+v: %v", whose, err)
		}
	}
}

func TestRequests(t *testing.T) {
	encode := func(key any) []byte {
		der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
		if err != nil {
			t.Fatal(err)
		}
		return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})
	}
	_, ed, _ := ed25519.GenerateKey(rand.Reader)
	p384, _ := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	p256, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	forged, _ := pem.Decode(encode(p256))
	forged.Bytes[len(forged.Bytes)-1] ^= 1
	for name, csr := range map[string][]byte{
		"ed25519": encode(ed), "p384": encode(p384), "signature": pem.EncodeToMemory(forged), "empty": nil, "text": []byte("hello"),
		"two": append(encode(p256), encode(p256)...),
	} {
		if _, err := ParseRequest(csr); !errors.Is(err, ErrRequest) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestFiles(t *testing.T) {
	cert, key, err := NewAuthority(rand.Reader, "test", begin)
	if err != nil {
		t.Fatal(err)
	}
	otherCert, _, _ := NewAuthority(rand.Reader, "test", begin)
	leafKey, _, _ := NewRequest(rand.Reader)
	for name, files := range map[string][2][]byte{
		"swapped": {key, cert}, "another's": {otherCert, key}, "no key": {cert, nil}, "another key": {cert, leafKey},
	} {
		if _, err := LoadAuthority(files[0], files[1]); !errors.Is(err, ErrFile) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// handshake runs both sides over a pipe and returns the client's error.
func handshake(t *testing.T, client *tls.Config, own *tls.Certificate) error {
	t.Helper()
	a, b := net.Pipe()
	defer a.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		s := tls.Server(b, ServerTLS(func() (*tls.Certificate, error) { return own, nil }))
		_ = s.Handshake()
		_, _ = s.Read(make([]byte, 1))
		_ = b.Close()
	}()
	c := tls.Client(a, client)
	err := c.Handshake()
	_ = a.Close()
	<-done
	return err
}

func TestPinned(t *testing.T) {
	a, ca := authority(t)
	other, _ := authority(t)
	matches := func(der []byte) bool { return string(der) == string(a.Certificate()) }
	_, host := issue(t, a, server, "mgmt.example")
	_, gw := issue(t, a, member)
	_, strange := issue(t, other, server, "mgmt.example")
	mixed := *strange
	mixed.Certificate = [][]byte{strange.Certificate[0], a.Certificate()} // shows the right authority beside its own certificate
	at := func(now time.Time) func() time.Time { return func() time.Time { return now } }
	for _, c := range []struct {
		name string
		own  *tls.Certificate
		now  time.Time
		bad  bool
		want error
	}{
		{"right", host, begin, false, nil},
		{"another authority", strange, begin, true, ErrAuthority},
		{"another authority with ours beside it", &mixed, begin, true, nil},
		{"a member that poses as the server", gw, begin, true, nil},
		{"clock behind", host, begin.Add(-time.Hour), true, ErrEarly},
		{"expired", host, begin.Add(48 * time.Hour), true, ErrExpired},
	} {
		err := handshake(t, PinnedTLS(matches, at(c.now)), c.own)
		if (err != nil) != c.bad || c.want != nil && !errors.Is(err, c.want) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	plain, err := ClientTLS(ca, nil)
	if err != nil {
		t.Fatal(err)
	}
	plain.ServerName, plain.Time = "mgmt.example", at(begin)
	if err := handshake(t, plain, host); err != nil {
		t.Errorf("a client that has the authority: %v", err)
	}
	plain.ServerName = "elsewhere.example"
	if err := handshake(t, plain, host); err == nil {
		t.Error("a server of another name was taken")
	}
}
