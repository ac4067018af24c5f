// SPDX-License-Identifier: Apache-2.0

package server

import (
	"cmp"
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

	mu       sync.Mutex
	tls      *tls.Certificate
	shown    pki.Shown
	retry    time.Time     // a renewal failed: not again before
	failed   error         // why
	renewing chan struct{} // closed when the one under way has ended; nil: none is
}

// renewWithin bounds what a renewal, which writes to the store, may take.
const renewWithin = 5 * time.Second

// begin issues the first one; it waits for the store as long as ctx lets it.
func (c *certificate) begin(ctx context.Context) error {
	own, shown, err := c.issue(ctx, c.server.o.Now())
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tls, c.shown = own, shown
	return nil
}

// end waits for a renewal that is under way.
func (c *certificate) end() {
	c.mu.Lock()
	wait := c.renewing
	c.mu.Unlock()
	if wait != nil {
		<-wait
	}
}

// serve is asked at each handshake.
func (c *certificate) serve() (*tls.Certificate, error) {
	ctx, cancel := context.WithTimeout(context.Background(), renewWithin)
	defer cancel()
	return c.get(ctx)
}

// get waits for a certificate only if there is none that is good: else a renewal goes on beside the handshakes.
func (c *certificate) get(ctx context.Context) (*tls.Certificate, error) {
	c.mu.Lock()
	now := c.server.o.Now()
	good := c.tls != nil && !now.Before(c.shown.NotBefore) && now.Before(c.shown.NotAfter)
	if good && now.Before(c.shown.RenewAfter()) {
		defer c.mu.Unlock()
		return c.tls, nil
	}
	if c.renewing == nil && (c.tls == nil || now.Before(c.retry.Add(-retryAfter)) || !now.Before(c.retry)) {
		c.renewing = make(chan struct{})
		go c.renew(now)
	}
	own, wait := c.tls, c.renewing
	c.mu.Unlock()
	if good || wait == nil {
		return own, nil
	}
	select {
	case <-wait:
	case <-ctx.Done():
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.tls == nil {
		return nil, cmp.Or(c.failed, ctx.Err())
	}
	return c.tls, nil
}

// retryAfter is how long a renewal that failed is not tried again.
const retryAfter = time.Minute

func (c *certificate) renew(now time.Time) {
	ctx, cancel := context.WithTimeout(context.Background(), renewWithin)
	defer cancel()
	fresh, shown, err := c.issue(ctx, now)
	c.mu.Lock()
	defer c.mu.Unlock()
	close(c.renewing)
	c.renewing, c.failed = nil, err
	if err != nil {
		c.retry = now.Add(retryAfter)
		c.server.o.Log.Error("the server's certificate cannot be issued", "error", err, "until", c.shown.NotAfter)
		return
	}
	c.tls, c.shown = fresh, shown
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
