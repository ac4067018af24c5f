// SPDX-License-Identifier: Apache-2.0

package server

import (
	"context"
	"testing"
	"time"
)

// A certificate that was issued while the clock was ahead, or that ends soon, or has ended.
func TestOwnCertificate(t *testing.T) {
	s := newStand(t)
	ctx := context.Background()
	own := func() time.Time {
		t.Helper()
		_, err := s.server.own.get(ctx)
		must(t, err)
		s.server.own.mu.Lock()
		defer s.server.own.mu.Unlock()
		return s.server.own.shown.NotBefore
	}
	first := own()
	s.clock.move(70 * day)
	own() // good still: it is renewed beside
	s.server.own.end()
	second := own()
	if !second.After(first.Add(69 * day)) {
		t.Error("not renewed", first, second)
	}
	s.clock.move(-70 * day)
	if third := own(); third.After(s.clock.now()) {
		t.Error("a certificate that is not valid yet is served", third)
	}
	s.clock.move(91 * day)
	if fourth := own(); fourth.Before(first.Add(90 * day)) {
		t.Error("a certificate that has ended is served", fourth)
	}

	// A store that does not answer holds no handshake up while the certificate is good.
	s.clock.move(70 * day)
	s.server.own.mu.Lock()
	s.server.own.renewing = make(chan struct{}) // under way, for as long as the test wants
	s.server.own.mu.Unlock()
	ctx, cancel := context.WithCancel(ctx)
	cancel()
	own()
	s.server.own.mu.Lock()
	close(s.server.own.renewing)
	s.server.own.renewing = nil
	s.server.own.mu.Unlock()
}
