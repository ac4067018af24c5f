// SPDX-License-Identifier: Apache-2.0

package server

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/holdfast-project/holdfast/management"
	"github.com/holdfast-project/holdfast/management/api"
	"github.com/holdfast-project/holdfast/management/coordinator"
	"github.com/holdfast-project/holdfast/management/pki"
	"github.com/holdfast-project/holdfast/management/records"
	"github.com/holdfast-project/holdfast/management/rollout"
	"github.com/holdfast-project/holdfast/management/store"
	"github.com/holdfast-project/holdfast/policy"
	"github.com/holdfast-project/holdfast/policy/nft"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const clusterYAML = `id: 7
name: edge
key-file: k
members:
  - name: gw-a
    interfaces:
      outside: {device: eth0, addresses: [192.0.2.2/24]}
      inside: {device: eth1, addresses: [10.0.0.2/24]}
  - name: gw-b
    interfaces:
      outside: {device: eth0, addresses: [192.0.2.3/24]}
      inside: {device: eth1, addresses: [10.0.0.3/24]}
interfaces:
  - {name: outside, role: cluster, vips: [192.0.2.1]}
  - {name: inside, role: cluster+sync, vips: [10.0.0.1]}
`

const rulesetText = "table inet filter {\n\tchain forward {\n\t\ttype filter hook forward priority 0; policy drop;\n\t\tct state established,related accept\n\t}\n}\n"

// clock can be moved by a test.
type clock struct {
	mu    sync.Mutex
	ahead time.Duration
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.ahead)
}

func (c *clock) move(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ahead += d
}

// stand is a server with a store, on loopback.
type stand struct {
	t         testing.TB
	server    *Server
	records   *records.Records
	authority *pki.Authority
	ca        []byte
	url       string
	clock     *clock
	poison    string // a ruleset that has it is refused by the check
	keys      ed25519.PublicKey
}

func newStand(t testing.TB, edit ...func(*Options)) *stand {
	t.Helper()
	s := &stand{t: t, clock: &clock{}, poison: "poison"}
	ca, key, err := pki.NewAuthority(rand.Reader, "test", time.Now())
	must(t, err)
	s.ca = ca
	s.authority, err = pki.LoadAuthority(ca, key)
	must(t, err)
	st, err := store.Open(context.Background(), filepath.Join(t.TempDir(), "store.db"))
	must(t, err)
	s.records = records.New(st, records.Options{Now: s.clock.now})
	private, public, err := policy.GenerateKey(rand.Reader)
	must(t, err)
	sign, err := policy.ParsePrivateKey(private)
	must(t, err)
	s.keys = sign.Public().(ed25519.PublicKey)
	times := rollout.Default()
	times.Settle = 50 * time.Millisecond
	co, err := coordinator.New(coordinator.Options{Records: s.records, Server: "mgmt", Hold: 200 * time.Millisecond, Times: times,
		Seal: func(b *policy.Bundle) (*policy.Sealed, error) { return policy.Seal(b, sign) }})
	must(t, err)
	o := Options{Records: s.records, Coordinator: co, Authority: s.authority, PolicyKeys: public, Host: "mgmt", Names: []string{"127.0.0.1"}, Check: s.check, Version: "test", Now: s.clock.now}
	for _, fn := range edit {
		fn(&o)
	}
	s.server = New(o)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	s.url = "https://" + l.Addr().String()
	ctx, stop := context.WithCancel(context.Background())
	var tasks sync.WaitGroup
	tasks.Go(func() {
		if err := s.server.Run(ctx, l); err != nil {
			t.Errorf("server: %v", err)
		}
	})
	tasks.Go(func() {
		if err := co.Run(ctx); err != nil {
			t.Errorf("coordinator: %v", err)
		}
	})
	t.Cleanup(func() {
		stop()
		tasks.Wait()
		must(t, st.Close())
	})
	return s
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (s *stand) check(_ context.Context, p *nft.Policy, links []nft.Link) error {
	if len(links) == 0 || len(p.Definitions) == 0 {
		return errors.New("a member without devices")
	}
	if text := p.Ruleset.Render(p.Definitions, p.Mark).Text; strings.Contains(text, s.poison) {
		return &nft.RulesetError{Problems: []nft.Problem{{File: p.Ruleset.File, Line: 1, What: "poison"}}}
	}
	return nil
}

// identity is somebody's certificate and token.
type identity struct {
	tls    *tls.Certificate
	token  string
	serial string
}

// client asks as somebody; nil: without a certificate.
func (s *stand) client(i *identity) *api.Client {
	s.t.Helper()
	var own *tls.Certificate
	token := ""
	if i != nil {
		own, token = i.tls, i.token
	}
	conf, err := pki.ClientTLS(s.ca, own)
	must(s.t, err)
	c := api.NewClient([]string{s.url}, conf, token)
	s.t.Cleanup(c.Close)
	return c
}

// call is one request with its code: "" if it was carried out.
func (s *stand) call(i *identity, method, path string, in, out any) api.Code {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	err := s.client(i).Call(ctx, method, path, in, out)
	if err == nil {
		return ""
	}
	code := api.CodeOf(err)
	if code == "" {
		s.t.Fatalf("%s %s: %v", method, path, err)
	}
	if code == api.CodeInternal {
		s.t.Errorf("%s %s: %v", method, path, err)
	}
	return code
}

// person makes somebody with a role.
func (s *stand) person(name string, role management.Role) *identity {
	s.t.Helper()
	ctx, by := context.Background(), management.Actor{Kind: management.ByHost}
	_, err := s.records.AddUser(ctx, by, name, role)
	must(s.t, err)
	i := s.certify(s.authority, pki.Identity{Kind: management.PersonCertificate, User: name}, true)
	i.token, _, err = s.records.NewToken(ctx, by, management.Token{Kind: management.PersonToken, User: name}, 24*time.Hour)
	must(s.t, err)
	return i
}

// certify makes a certificate for a day; known writes it down.
func (s *stand) certify(a *pki.Authority, whose pki.Identity, known bool) *identity {
	s.t.Helper()
	key, csr, err := pki.NewRequest(rand.Reader)
	must(s.t, err)
	pub, err := pki.ParseRequest(csr)
	must(s.t, err)
	der, shown, err := a.Issue(rand.Reader, pub, whose, nil, s.clock.now(), 24*time.Hour)
	must(s.t, err)
	if known {
		must(s.t, s.records.AddCertificate(context.Background(), management.Actor{Kind: management.ByHost}, shown.Record()))
	}
	pair, err := tls.X509KeyPair(pki.EncodeCertificate(der), key)
	must(s.t, err)
	return &identity{tls: &pair, serial: shown.Serial}
}

// cluster adds the cluster edge.
func (s *stand) cluster(admin *identity) {
	s.t.Helper()
	if code := s.call(admin, "POST", "/v1/clusters", api.ClusterRequest{Config: clusterYAML}, nil); code != "" {
		s.t.Fatalf("cluster: %s", code)
	}
}

// enrol makes a member's identity as the member does.
func (s *stand) enrol(admin *identity, name string) *identity {
	s.t.Helper()
	var granted api.TokenGranted
	if code := s.call(admin, "POST", "/v1/clusters/edge/members/"+name+"/token", nil, &granted); code != "" {
		s.t.Fatalf("token: %s", code)
	}
	g, err := api.ParseGrant(granted.Grant)
	must(s.t, err)
	key, csr, err := pki.NewRequest(rand.Reader)
	must(s.t, err)
	var e api.Enrolment
	if code := s.call(nil, "POST", "/v1/enroll", api.EnrollRequest{Token: g.Token, CSR: string(csr)}, &e); code != "" {
		s.t.Fatalf("enroll: %s", code)
	}
	if e.Cluster != "edge" || e.Member != name || e.ClusterID != 7 || e.PolicyKeys == "" || e.CA != string(s.ca) {
		s.t.Errorf("enrolment: %+v", e)
	}
	pair, err := tls.X509KeyPair([]byte(e.Certificate), key)
	must(s.t, err)
	return &identity{tls: &pair, serial: e.Serial}
}

// audited are the codes of refusals in the audit log, by what was asked for.
func (s *stand) audited() map[string][]string {
	s.t.Helper()
	log, err := s.records.AuditLog(context.Background(), 0, 1000)
	must(s.t, err)
	all := map[string][]string{}
	for _, r := range log {
		if r.Event.Outcome == management.Refused {
			all[r.Event.Object] = append(all[r.Event.Object], r.Event.Detail["error"])
		}
	}
	return all
}
