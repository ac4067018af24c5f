// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// TLS with certificates of clients, and a user who may write below the prefix only.
func TestEtcdOverTLS(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ca, pool := authority(t, dir)
	ca.issue(t, dir, "server")
	client := ca.issue(t, dir, "client")
	server := newEtcd(t, 1)[0]
	server.Args = []string{"--client-cert-auth", "--trusted-ca-file", filepath.Join(dir, "ca.pem"),
		"--cert-file", filepath.Join(dir, "server.pem"), "--key-file", filepath.Join(dir, "server.key")}
	server.TLS = &tls.Config{RootCAs: pool, Certificates: []tls.Certificate{client}}
	run(t, server)
	defer server.Stop()
	raw, err := server.Client()
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	ctx := t.Context()
	end := clientv3.GetPrefixRangeEnd("ours/")
	for _, fn := range []func() error{
		func() error { _, err := raw.UserAdd(ctx, "root", "r"); return err },
		func() error { _, err := raw.UserGrantRole(ctx, "root", "root"); return err },
		func() error { _, err := raw.RoleAdd(ctx, "mgmt"); return err },
		func() error {
			_, err := raw.RoleGrantPermission(ctx, "mgmt", "ours/", end, clientv3.PermissionType(clientv3.PermReadWrite))
			return err
		},
		func() error { _, err := raw.UserAdd(ctx, "hf", "secret"); return err },
		func() error { _, err := raw.UserGrantRole(ctx, "hf", "mgmt"); return err },
		func() error { _, err := raw.AuthEnable(ctx); return err },
	} {
		if err := fn(); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "password"), []byte("secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "wrong"), []byte("guess\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	good := fmt.Sprintf("?ca=%[1]s/ca.pem&cert=%[1]s/client.pem&key=%[1]s/client.key&password-file=%[1]s/password", dir)
	s := mustOpen(t, "etcd://hf@"+server.Endpoint+"/ours"+good)
	defer s.Close()
	set(t, s, "a", "1")
	if v, err := value(t, s, "a"); v != "1" || err != nil {
		t.Error(v, err)
	}
	l, err := s.Acquire(ctx, "x", "me", time.Second)
	if err != nil {
		t.Error(err)
	} else if err := l.Release(ctx); err != nil {
		t.Error(err)
	}
	for name, target := range map[string]string{
		"not ours":         "etcd://hf@" + server.Endpoint + "/theirs" + good,
		"a wrong password": "etcd://hf@" + server.Endpoint + "/ours" + strings.Replace(good, "/password", "/wrong", 1),
		"no certificate":   "etcd://" + server.Endpoint + "/ours?ca=" + dir + "/ca.pem",
		"no authority":     "etcd://" + server.Endpoint + "/ours?cert=" + dir + "/client.pem&key=" + dir + "/client.key",
		"no TLS":           "etcd://" + server.Endpoint + "/ours",
	} {
		short, cancel := context.WithTimeout(ctx, 400*time.Millisecond)
		s, err := Open(short, target)
		cancel()
		if err == nil {
			s.Close()
			t.Errorf("%s: it is open", name)
		} else if strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: the error shows the password: %v", name, err)
		}
	}
}

// signer is an authority of this test's.
type signer struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func authority(t *testing.T, dir string) (s signer, pool *x509.CertPool) {
	t.Helper()
	s = signer{}
	ca := s.issue(t, dir, "ca")
	s.cert, s.key = ca.Leaf, ca.PrivateKey.(*ecdsa.PrivateKey)
	pool = x509.NewCertPool()
	pool.AddCert(s.cert)
	return s, pool
}

func (s signer) issue(t *testing.T, dir, name string) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}
	parent, signing := s.cert, s.key
	if parent == nil {
		template.IsCA, template.BasicConstraintsValid, template.ExtKeyUsage = true, true, nil
		parent, signing = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signing)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	keyPEM := pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: keyDER})
	if err := errors.Join(os.WriteFile(filepath.Join(dir, name+".pem"), certPEM, 0o600), os.WriteFile(filepath.Join(dir, name+".key"), keyPEM, 0o600)); err != nil {
		t.Fatal(err)
	}
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		t.Fatal(err)
	}
	return pair
}
