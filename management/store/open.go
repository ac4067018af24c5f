// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/url"
	"os"
	"strings"
)

// Open opens what a command line names: a path is a file, and "etcd://" an etcd cluster:
//
//	etcd://[USER@]HOST:PORT[,HOST:PORT...][/PREFIX][?ca=FILE][&cert=FILE&key=FILE][&password-file=FILE]
//
// ca, cert and key are PEM; with any of them the connection is TLS. PREFIX, by default "holdfast", is what all keys begin with, so that
// others may use the same etcd. It fails if etcd does not answer.
func Open(ctx context.Context, target string) (Store, error) {
	if !strings.HasPrefix(target, "etcd://") {
		if scheme, _, ok := strings.Cut(target, "://"); ok {
			return nil, fmt.Errorf("store: %q: %w: a path, or etcd://HOST:PORT", scheme+"://", ErrFormat)
		}
		return OpenFile(target)
	}
	c, err := parseEtcd(target)
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	return openEtcd(ctx, c)
}

// etcdConfig is where an etcd is, and how to come to it.
type etcdConfig struct {
	endpoints      []string
	prefix         string // ends with a slash
	user, password string
	tls            *tls.Config
}

func parseEtcd(target string) (c etcdConfig, err error) {
	rest := strings.TrimPrefix(target, "etcd://")
	rest, query, _ := strings.Cut(rest, "?")
	hosts, prefix, _ := strings.Cut(rest, "/")
	if at := strings.LastIndexByte(hosts, '@'); at >= 0 {
		c.user, hosts = hosts[:at], hosts[at+1:]
		if strings.Contains(c.user, ":") {
			return c, fmt.Errorf("etcd: %w: a password in the address is seen by everybody on the host: use password-file=FILE", ErrFormat)
		}
	}
	values, err := url.ParseQuery(query)
	if err != nil {
		return c, fmt.Errorf("etcd: options %q: %w", query, ErrFormat)
	}
	for name := range values {
		switch name {
		case "ca", "cert", "key", "password-file":
		default:
			return c, fmt.Errorf("etcd: option %q: %w: ca, cert, key, password-file", name, ErrFormat)
		}
	}
	if c.tls, err = etcdTLS(values); err != nil {
		return c, err
	}
	scheme := "http://"
	if c.tls != nil {
		scheme = "https://"
	}
	for _, h := range strings.Split(hosts, ",") {
		if host, port, err := net.SplitHostPort(h); err != nil || host == "" || port == "" {
			return c, fmt.Errorf("etcd: host %q: %w: HOST:PORT, with commas between several; the port is 2379 by default", h, ErrFormat)
		}
		c.endpoints = append(c.endpoints, scheme+h)
	}
	if file := values.Get("password-file"); file != "" {
		b, err := os.ReadFile(file)
		if err != nil {
			return c, fmt.Errorf("etcd: password: %w", err)
		}
		c.password = strings.TrimRight(string(b), "\r\n")
	}
	if (c.user == "") != (c.password == "") {
		return c, fmt.Errorf("etcd: %w: a user and a password-file go together", ErrFormat)
	}
	if c.prefix = strings.Trim(prefix, "/") + "/"; c.prefix == "/" {
		c.prefix = "holdfast/"
	}
	return c, nil
}

func etcdTLS(values url.Values) (*tls.Config, error) {
	ca, cert, key := values.Get("ca"), values.Get("cert"), values.Get("key")
	if ca == "" && cert == "" && key == "" {
		return nil, nil
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if ca != "" {
		b, err := os.ReadFile(ca)
		if err != nil {
			return nil, fmt.Errorf("etcd: authority: %w", err)
		}
		if c.RootCAs = x509.NewCertPool(); !c.RootCAs.AppendCertsFromPEM(b) {
			return nil, fmt.Errorf("etcd: authority: %s: %w: it holds no certificate in PEM", ca, ErrFormat)
		}
	}
	if cert != "" || key != "" {
		pair, err := tls.LoadX509KeyPair(cert, key)
		if err != nil {
			return nil, fmt.Errorf("etcd: certificate: %w", err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}
