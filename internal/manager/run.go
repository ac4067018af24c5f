// SPDX-License-Identifier: Apache-2.0

package manager

import (
	"context"
	cryptorand "crypto/rand"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/holdfast-project/holdfast/internal/policyplane"
	"github.com/holdfast-project/holdfast/management/api"
	"github.com/holdfast-project/holdfast/management/pki"
)

// Run reports until ctx ends, and returns nil then.
func (m *Manager) Run(ctx context.Context) error {
	l := &loop{m: m}
	defer l.drop()
	defer func() {
		if c, _ := m.client(); c != nil {
			c.close()
		}
	}()
	for ctx.Err() == nil {
		l.once(ctx)
	}
	return nil
}

// loop is what one run knows.
type loop struct {
	m      *Manager
	serial uint64 // of the newest orders
	failed int    // in a row
	renew  time.Time

	way  *client // that the newest report took
	left *sent   // an older report that the server still holds; nil: none
}

// sent is a report on its way.
type sent struct {
	cancel context.CancelFunc
	done   chan answered
}

type answered struct {
	orders api.Orders
	err    error
}

// once sends one report and waits for what comes of it.
func (l *loop) once(ctx context.Context) {
	m := l.m
	select {
	case <-m.changed: // that is in the report that follows
	default:
	}
	m.load()
	report, c, good, ok := m.send()
	if !ok { // not enrolled, or nothing to say yet
		wait(ctx, m.o.Times.Look, m.changed)
		return
	}
	if l.way != c {
		l.drop() // its connection is not to be used again
		l.way = c
	}
	l.renewal(ctx, c, good)
	report.Serial = l.serial
	answer, err := l.post(ctx, c, m.o.URLs[good], report)
	switch {
	case ctx.Err() != nil || errors.Is(err, errNews):
	case err == nil:
		l.failed, l.serial = 0, answer.Serial
		m.answered(good, nil)
		m.deliver(orders(answer))
	default:
		l.lost(ctx, c, good, classify(m.o.URLs[good], err, time.Now()))
	}
}

// errNews says that an answer is not waited for any more, since there is more to report than the request said.
var errNews = errors.New("there is news")

// post sends a report. News, meanwhile, go over another connection: the server answers this one as soon as it has them, and what it says then is said to
// them as well. To give the request up would cost the connection.
func (l *loop) post(ctx context.Context, c *client, url string, r api.Report) (api.Orders, error) {
	ctx, cancel := context.WithCancel(ctx)
	s := &sent{cancel, make(chan answered, 1)}
	go func() {
		var a answered
		a.orders, a.err = c.report(ctx, url, r)
		s.done <- a
	}()
	select {
	case a := <-s.done:
		cancel()
		return a.orders, a.err
	case <-l.m.changed:
		l.drop()
		l.left = s
		return api.Orders{}, errNews
	}
}

// drop gives up the older report, if there is one that was not answered.
func (l *loop) drop() {
	if l.left == nil {
		return
	}
	select {
	case <-l.left.done: // then its connection stays
		l.left.cancel()
	default:
		l.left.cancel()
		<-l.left.done
	}
	l.left = nil
}

// deliver puts orders before the plane, in place of those that it has not read.
func (m *Manager) deliver(o policyplane.Orders) {
	for {
		select {
		case m.orders <- o:
			return
		default:
		}
		select {
		case <-m.orders:
		default:
		}
	}
}

// lost goes on to the next server, and pauses when all have failed.
func (l *loop) lost(ctx context.Context, c *client, good int, err *Error) {
	m := l.m
	m.answered(good, err)
	c.close()
	l.failed++
	m.mu.Lock()
	m.good = (good + 1) % len(m.o.URLs)
	m.mu.Unlock()
	if l.failed%len(m.o.URLs) == 0 {
		wait(ctx, pause(m.o.Times, l.failed/len(m.o.URLs), rand.Float64()), nil)
	}
}

// pause is how long to wait after so many rounds of failures, by half to one and a half.
func pause(t Times, rounds int, random float64) time.Duration {
	d := t.First
	for range rounds - 1 {
		if d *= 2; d >= t.Longest {
			d = t.Longest
			break
		}
	}
	return d/2 + time.Duration(random*float64(d))
}

func wait(ctx context.Context, d time.Duration, wake <-chan struct{}) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-wake:
	case <-ctx.Done():
	}
}

// renewal gets another certificate when two thirds of the life of this one are over; one that fails is tried again after a while, scattered.
func (l *loop) renewal(ctx context.Context, c *client, good int) {
	now := time.Now()
	if now.Before(c.creds.RenewAt) || now.Before(l.renew) {
		return
	}
	l.renew = now.Add(time.Minute + rand.N(time.Minute))
	if err := l.m.renew(ctx, c, l.m.o.URLs[good]); err != nil {
		l.m.o.Log.Warn("the certificate cannot be renewed", "reason", classify(l.m.o.URLs[good], err, now), "ends", stamp(c.creds.NotAfter))
	} else if id, _ := l.m.Identity(); !now.Before(id.RenewAt) {
		l.renew = now.Add(renewAgain)
		l.m.o.Log.Warn("the certificate was renewed, and by this machine's clock is to be renewed again: compare the clocks here and on the management server",
			"serial", id.Serial, "renew", stamp(id.RenewAt))
	}
}

// renewAgain is when a certificate is renewed again that by this machine's clock should be at once: each one is a record of management's.
const renewAgain = 24 * time.Hour

func (m *Manager) renew(ctx context.Context, c *client, url string) error {
	key, request, err := pki.NewRequest(cryptorand.Reader)
	if err != nil {
		return err
	}
	var answer api.Enrolment
	if err := c.post(ctx, url, "/v1/member/renew", api.RenewRequest{CSR: string(request)}, &answer); err != nil {
		return err
	}
	creds, err := join(key, answer.Certificate, answer.CA)
	if err != nil {
		return err
	}
	if now := time.Now(); now.Before(creds.NotBefore) {
		return fmt.Errorf("the renewed certificate is not valid before %s, and it is %s: the old one is kept; compare the clocks here and on the management server",
			stamp(creds.NotBefore), stamp(now))
	}
	if creds.Cluster != c.creds.Cluster || creds.Member != c.creds.Member {
		return errors.New("the renewed certificate is another member's")
	}
	if err := creds.save(m.o.Dir); err != nil {
		return err
	}
	m.mu.Lock()
	m.use(creds)
	m.mu.Unlock()
	m.o.Log.Info("the certificate was renewed", "serial", creds.Serial, "ends", stamp(creds.NotAfter))
	return nil
}
