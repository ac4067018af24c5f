// SPDX-License-Identifier: Apache-2.0

package fleet

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/holdfast-project/holdfast/management"
	"github.com/holdfast-project/holdfast/management/api"
	"github.com/holdfast-project/holdfast/management/pki"
	"github.com/holdfast-project/holdfast/management/records"
	"github.com/holdfast-project/holdfast/management/store"
	"github.com/holdfast-project/holdfast/policy"
)

// Options say how large a fleet is.
type Options struct {
	Binary   string // holdfast-mgmt
	Dir      string // where its files go; in memory is best, since 5,000 members are enrolled one after another
	Clusters int
	Members  int // of each cluster
	// Operators install; the server limits how often one of them may ask.
	Operators int
}

// life of certificates.
const life = 24 * time.Hour

// Site is a management server's data in which all clusters, members and operators are known.
type Site struct {
	o         Options
	authority *pki.Authority
	keys      []ed25519.PublicKey
	members   []identity
	operators []*operator
}

// identity is a member and where its certificate rests.
type identity struct {
	cluster, name, dir string
	id                 uint16 // of the cluster
}

// operator is a person with a certificate and a token.
type operator struct {
	certificate tls.Certificate
	token       string
}

// admin is who sets the fleet up.
var admin = management.Actor{Kind: management.ByHost, Name: "fleet"}

// Prepare makes a server's data in Options.Dir/data.
func Prepare(ctx context.Context, o Options) (_ *Site, err error) {
	s := &Site{o: o}
	out, err := exec.CommandContext(ctx, o.Binary, "init", "--data", s.data()).CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("%s init: %w: %s", o.Binary, err, out)
	}
	if err := s.readKeys(); err != nil {
		return nil, err
	}
	st, err := store.Open(ctx, filepath.Join(s.data(), "store.db"))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	r := records.New(st, records.Options{})
	for i := range o.Clusters {
		if err := s.addCluster(ctx, r, i); err != nil {
			return nil, err
		}
	}
	for i := range o.Operators {
		if err := s.addOperator(ctx, r, fmt.Sprintf("operator-%d", i)); err != nil {
			return nil, err
		}
	}
	return s, nil
}

func (s *Site) data() string { return filepath.Join(s.o.Dir, "data") }

func (s *Site) readKeys() error {
	var files [3][]byte
	for i, name := range []string{"ca.pem", "ca.key", "policy.pub"} {
		var err error
		if files[i], err = os.ReadFile(filepath.Join(s.data(), "keys", name)); err != nil {
			return err
		}
	}
	var err error
	if s.authority, err = pki.LoadAuthority(files[0], files[1]); err != nil {
		return err
	}
	s.keys, err = policy.ParsePublicKeys(files[2])
	return err
}

func clusterName(i int) string { return fmt.Sprintf("fleet-%04d", i) }
func memberName(i int) string  { return fmt.Sprintf("gw-%d", i) }

// clusterYAML is a configuration that a server takes.
func clusterYAML(i, members int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "id: %d\nname: %s\nmode: ha\nkey-file: cluster.key\nmembers:\n", i+1, clusterName(i))
	for m := range members {
		fmt.Fprintf(&b, "  - name: %s\n    interfaces:\n      outside: {device: eth0, addresses: [192.0.2.%d/24]}\n      inside: {device: eth1, addresses: [10.0.0.%d/24]}\n",
			memberName(m), m+2, m+2)
	}
	b.WriteString("interfaces:\n  - {name: outside, role: cluster, vips: [192.0.2.1]}\n  - {name: inside, role: cluster+sync, vips: [10.0.0.1]}\n")
	return b.String()
}

func (s *Site) addCluster(ctx context.Context, r *records.Records, i int) error {
	c := management.Cluster{Name: clusterName(i), ID: uint16(i + 1), Config: []byte(clusterYAML(i, s.o.Members))} //nolint:gosec // at most 1,000
	for m := range s.o.Members {
		c.Members = append(c.Members, memberName(m))
	}
	if _, err := r.AddCluster(ctx, admin, c); err != nil {
		return err
	}
	for _, name := range c.Members {
		key, der, err := s.enrol(ctx, r, management.Token{Kind: management.MemberToken, Cluster: c.Name, Member: name},
			pki.Identity{Kind: management.MemberCertificate, Cluster: c.Name, Member: name})
		if err != nil {
			return err
		}
		m := identity{cluster: c.Name, name: name, id: c.ID, dir: filepath.Join(s.o.Dir, "members", c.Name, name)}
		if err := os.MkdirAll(m.dir, 0o700); err != nil {
			return err
		}
		file := bytes.Join([][]byte{key, pki.EncodeCertificate(der), pki.EncodeCertificate(s.authority.Certificate())}, nil)
		if err := os.WriteFile(filepath.Join(m.dir, "identity.pem"), file, 0o600); err != nil {
			return err
		}
		s.members = append(s.members, m)
	}
	return nil
}

// enrol gives a certificate for a one-time token, as the server does.
func (s *Site) enrol(ctx context.Context, r *records.Records, t management.Token, whose pki.Identity) (key, der []byte, err error) {
	text, _, err := r.NewToken(ctx, admin, t, time.Hour)
	if err != nil {
		return nil, nil, err
	}
	key, csr, err := pki.NewRequest(rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	public, err := pki.ParseRequest(csr)
	if err != nil {
		return nil, nil, err
	}
	_, err = r.Enrol(ctx, admin, text, t.Kind, func(management.Token) (management.Certificate, error) {
		var shown pki.Shown
		der, shown, err = s.authority.Issue(rand.Reader, public, whose, nil, time.Now(), life)
		return shown.Record(), err
	})
	return key, der, err
}

func (s *Site) addOperator(ctx context.Context, r *records.Records, name string) error {
	if _, err := r.AddUser(ctx, admin, name, management.Operator); err != nil {
		return err
	}
	key, der, err := s.enrol(ctx, r, management.Token{Kind: management.PersonEnrolment, User: name}, pki.Identity{Kind: management.PersonCertificate, User: name})
	if err != nil {
		return err
	}
	private, err := pki.ParseKey(key)
	if err != nil {
		return err
	}
	o := &operator{certificate: tls.Certificate{Certificate: [][]byte{der}, PrivateKey: private}}
	o.token, _, err = r.NewToken(ctx, admin, management.Token{Kind: management.PersonToken, User: name}, life)
	s.operators = append(s.operators, o)
	return err
}

// CopyTo makes another server's data with the same content, in a directory and in a store of it ("": a file in the directory).
func (s *Site) CopyTo(ctx context.Context, dir, target string) (err error) {
	if err := os.CopyFS(filepath.Join(dir, "keys"), os.DirFS(filepath.Join(s.data(), "keys"))); err != nil {
		return err
	}
	if target == "" {
		return copyFile(filepath.Join(dir, "store.db"), filepath.Join(s.data(), "store.db"))
	}
	from, err := store.Open(ctx, filepath.Join(s.data(), "store.db"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, from.Close()) }()
	to, err := store.Open(ctx, target)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, to.Close()) }()
	read, write := io.Pipe()
	go func() { write.CloseWithError(from.Backup(ctx, write)) }()
	return to.Restore(ctx, read, nil)
}

func copyFile(to, from string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Sync(), out.Close())
}

// client is one operator's way to a server.
func (s *Site) client(i int, url string) (*api.Client, error) {
	o := s.operators[i%len(s.operators)]
	t, err := pki.ClientTLS(pki.EncodeCertificate(s.authority.Certificate()), &o.certificate)
	if err != nil {
		return nil, err
	}
	return api.NewClient([]string{url}, t, o.token), nil
}
