// SPDX-License-Identifier: Apache-2.0

package manager

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/json"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-project/holdfast/management"
	"github.com/holdfast-project/holdfast/management/api"
	"github.com/holdfast-project/holdfast/management/pki"
)

// fake is a management server that says what the test wants.
type fake struct {
	t         *testing.T
	authority *pki.Authority
	url       string

	mu      sync.Mutex
	refuse  *api.Error
	token   string
	reports []api.Report
	orders  api.Orders
	changed chan struct{}
	newer   chan struct{}   // closed by the report that follows
	conns   map[string]bool // by the client's address
	serials []string        // of the certificates that were shown
	life    time.Duration   // of certificates
	whose   pki.Identity
}

// serve starts one; certified is when its certificate begins.
func serve(t *testing.T, authority *pki.Authority, certified time.Time) *fake {
	t.Helper()
	f := &fake{
		t: t, authority: authority, changed: make(chan struct{}), conns: map[string]bool{}, life: time.Hour,
		whose: pki.Identity{Kind: management.MemberCertificate, Cluster: "edge", Member: "gw-a"},
	}
	keyFile, csr, err := pki.NewRequest(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	public, err := pki.ParseRequest(csr)
	if err != nil {
		t.Fatal(err)
	}
	der, _, err := authority.Issue(rand.Reader, public, pki.Identity{Kind: management.ServerCertificate, Host: "mgmt"}, []string{"127.0.0.1"}, certified, 24*time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	key, err := pki.ParseKey(keyFile)
	if err != nil {
		t.Fatal(err)
	}
	own := &tls.Certificate{Certificate: [][]byte{der, authority.Certificate()}, PrivateKey: key}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f.url = "https://" + l.Addr().String()
	s := &http.Server{Handler: f, TLSConfig: pki.ServerTLS(func() (*tls.Certificate, error) { return own, nil }), ReadHeaderTimeout: time.Second,
		ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = s.ServeTLS(l, "", "")
	}()
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		<-ended
	})
	return f
}

func newAuthority(t *testing.T) *pki.Authority {
	t.Helper()
	ca, key, err := pki.NewAuthority(rand.Reader, "test", time.Now().Add(-48*time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	a, err := pki.LoadAuthority(ca, key)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	f.conns[r.RemoteAddr] = true
	refuse := f.refuse
	if len(r.TLS.PeerCertificates) > 0 {
		f.serials = append(f.serials, r.TLS.PeerCertificates[0].SerialNumber.Text(16))
	}
	f.mu.Unlock()
	if refuse != nil && r.URL.Path != "/v1/enroll" {
		f.fail(w, refuse)
		return
	}
	switch r.URL.Path {
	case "/v1/enroll":
		var q api.EnrollRequest
		if err := json.NewDecoder(r.Body).Decode(&q); err != nil {
			f.t.Error(err)
		}
		f.mu.Lock()
		right := q.Token == f.token
		f.token = ""
		f.mu.Unlock()
		if !right {
			f.fail(w, &api.Error{Code: api.CodeTokenUsed, What: "the token has been used", WayOut: "ask for another"})
			return
		}
		f.certify(w, q.CSR)
	case "/v1/member/renew":
		var q api.RenewRequest
		if err := json.NewDecoder(r.Body).Decode(&q); err != nil {
			f.t.Error(err)
		}
		f.certify(w, q.CSR)
	case "/v1/member/report":
		f.report(w, r)
	case "/v1/member/policies/3/" + strings.Repeat("03", 32):
		_, _ = w.Write([]byte("a policy"))
	default:
		f.fail(w, &api.Error{Code: api.CodeNotFound, What: r.URL.Path})
	}
}

func (f *fake) fail(w http.ResponseWriter, e *api.Error) {
	w.WriteHeader(e.Status())
	_ = json.NewEncoder(w).Encode(e)
}

func (f *fake) certify(w http.ResponseWriter, csr string) {
	key, err := pki.ParseRequest([]byte(csr))
	if err != nil {
		f.t.Error(err)
		return
	}
	f.mu.Lock()
	life, whose := f.life, f.whose
	f.mu.Unlock()
	// Two thirds of a life that began long ago are over.
	der, shown, err := f.authority.Issue(rand.Reader, key, whose, nil, time.Now().Add(life-time.Hour), time.Hour)
	if err != nil {
		f.t.Error(err)
		return
	}
	_ = json.NewEncoder(w).Encode(api.Enrolment{
		Certificate: string(pki.EncodeCertificate(der)), CA: string(pki.EncodeCertificate(f.authority.Certificate())), Serial: shown.Serial,
	})
}

func (f *fake) report(w http.ResponseWriter, r *http.Request) {
	var report api.Report
	if err := json.NewDecoder(r.Body).Decode(&report); err != nil {
		f.t.Error(err)
	}
	f.mu.Lock()
	f.reports = append(f.reports, report)
	if f.newer != nil {
		close(f.newer)
	}
	newer := make(chan struct{})
	f.newer = newer
	f.mu.Unlock()
	hold := time.After(300 * time.Millisecond)
	for {
		f.mu.Lock()
		o, changed := f.orders, f.changed
		f.mu.Unlock()
		if o.Serial != report.Serial {
			_ = json.NewEncoder(w).Encode(o)
			return
		}
		select {
		case <-changed:
		case <-newer:
			_ = json.NewEncoder(w).Encode(o)
			return
		case <-hold:
			_ = json.NewEncoder(w).Encode(o)
			return
		case <-r.Context().Done():
			return
		}
	}
}

func (f *fake) order(o api.Orders) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.orders = o
	close(f.changed)
	f.changed = make(chan struct{})
}

func (f *fake) say(e *api.Error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.refuse = e
}

// grant makes a token that is good once.
func (f *fake) grant() string {
	_, text, _, err := management.NewSecret(rand.Reader)
	if err != nil {
		f.t.Fatal(err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.token = text
	return api.Grant{Token: text, Fingerprint: api.Fingerprint(f.authority.Certificate())}.String()
}

func (f *fake) enrol(dir string) Enrolment {
	f.t.Helper()
	e, err := Enroll(context.Background(), EnrollOptions{URLs: []string{f.url}, Token: f.grant(), Dir: dir, Replace: true})
	if err != nil {
		f.t.Fatal(err)
	}
	return e
}
