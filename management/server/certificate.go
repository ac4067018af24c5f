// SPDX-License-Identifier: Apache-2.0

package server

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/tls"
	"fmt"
	"sync"
	"time"

	"github.com/holdfast-project/holdfast/management"
	"github.com/holdfast-project/holdfast/management/pki"
)

// certificate is the server's own, which it issues to itself and renews before it ends. Its key never leaves the process.
type certificate struct {
	server *Server

	mu    sync.Mutex
	tls   *tls.Certificate
	shown pki.Shown
	retry time.Time // a renewal failed: not again before
}

// serve is asked at each handshake.
func (c *certificate) serve() (*tls.Certificate, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	return c.get(ctx)
}

func (c *certificate) get(ctx context.Context) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.server.o.Now()
	if c.tls != nil && (now.Before(c.shown.RenewAfter()) || now.Before(c.retry)) {
		return c.tls, nil
	}
	fresh, shown, err := c.issue(ctx, now)
	if err != nil && c.tls == nil {
		return nil, err
	}
	if err != nil {
		c.retry = now.Add(time.Minute)
		c.server.o.Log.Error("the server's certificate cannot be renewed", "error", err, "until", c.shown.NotAfter)
		return c.tls, nil
	}
	c.tls, c.shown = fresh, shown
	return c.tls, nil
}

func (c *certificate) issue(ctx context.Context, now time.Time) (*tls.Certificate, pki.Shown, error) {
	o := c.server.o
	key, err := ecdsa.GenerateKey(elliptic.P256(), o.Random)
	if err != nil {
		return nil, pki.Shown{}, fmt.Errorf("server: key: %w", err)
	}
	whose := pki.Identity{Kind: management.ServerCertificate, Host: o.Host}
	der, shown, err := o.Authority.Issue(o.Random, &key.PublicKey, whose, o.Names, now, o.Lives.Server)
	if err != nil {
		return nil, shown, fmt.Errorf("server: %w", err)
	}
	by := management.Actor{Kind: management.ByServer, Name: o.Host}
	if err := o.Records.AddCertificate(ctx, by, shown.Record()); err != nil {
		return nil, shown, fmt.Errorf("server: %w", err)
	}
	// The authority's own goes along for clients that know it by its fingerprint alone.
	return &tls.Certificate{Certificate: [][]byte{der, o.Authority.Certificate()}, PrivateKey: key}, shown, nil
}
