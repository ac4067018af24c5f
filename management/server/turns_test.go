// SPDX-License-Identifier: Apache-2.0

package server

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-project/holdfast/management"
	"github.com/holdfast-project/holdfast/management/api"
	"github.com/holdfast-project/holdfast/management/pki"
	"github.com/holdfast-project/holdfast/policy"
)

func TestTurns(t *testing.T) {
	now, cancel := context.WithCancel(context.Background())
	cancel()
	two := newTurns(2)
	first, ok1 := two.take(t.Context(), "a")
	second, ok2 := two.take(t.Context(), "a")
	if _, ok := two.take(now, "a"); !ok1 || !ok2 || ok {
		t.Error("a third has a place, or the first two have none")
	}
	other, ok := two.take(t.Context(), "b")
	if !ok {
		t.Error("another client has to wait")
	}
	first()
	if third, ok := two.take(t.Context(), "a"); !ok {
		t.Error("a place that was given back is not there")
	} else {
		third()
	}
	second()
	second()
	other()
	if len(two.all) != 0 {
		t.Errorf("%d clients are remembered", len(two.all))
	}
}

// slow is a client that reads when it likes.
type slow struct {
	http.ResponseWriter
	reads func()
}

func (s slow) Write(b []byte) (int, error) {
	s.reads()
	return s.ResponseWriter.Write(b)
}

// TestSlowReader: an answer that is not read yet keeps no place of all clients, and its client's own: else it could leave any number of them lying.
func TestSlowReader(t *testing.T) {
	s := newStand(t).server
	for _, c := range []struct {
		route route
		own   *turns
		bytes int
	}{
		{route{heavy: true}, s.one, medium / 2},
		{route{heavy: true}, s.one, 4 * medium}, // from the disk
		{route{large: true}, s.large, medium / 2},
	} {
		one := &call{server: s, r: httptest.NewRequest(http.MethodGet, "/", nil), route: &c.route, light: func() {}, shared: func() {}}
		must(t, one.admit())
		if len(c.own.all) != 1 {
			t.Fatal("it has no place of its own")
		}
		read := false
		recorder := httptest.NewRecorder()
		one.w = slow{recorder, func() {
			read = true
			if len(s.heavy) != 0 || len(c.own.all) != 1 {
				t.Errorf("%d bytes: %d places of all, %d clients' own", c.bytes, len(s.heavy), len(c.own.all))
			}
		}}
		one.answer(http.StatusOK, strings.Repeat("x", c.bytes))
		one.done()
		if got := recorder.Body.Len(); got != c.bytes+len(`""`)+1 {
			t.Errorf("%d bytes of %d came", got, c.bytes)
		}
		if !read || len(s.heavy) != 0 || len(c.own.all) != 0 {
			t.Errorf("read %v; %d places of all, %d clients' own stay", read, len(s.heavy), len(c.own.all))
		}
	}
}

// noise is a ruleset that cannot be packed, so that a backup of it is longer than what lies between two ends of a connection.
func noise(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b)
	var text strings.Builder
	for len(b) > 0 {
		line := min(len(b), 60)
		text.WriteString("# " + base64.StdEncoding.EncodeToString(b[:line]) + "\n")
		b = b[line:]
	}
	return text.String() + rulesetText
}

// paced is a client of which a test sees what time it is given.
type paced struct {
	*httptest.ResponseRecorder
	since int // bytes that were written in the time that was given last
	most  int
	given int
}

func (p *paced) Write(b []byte) (int, error) {
	p.since += len(b)
	p.most = max(p.most, p.since)
	return p.ResponseRecorder.Write(b)
}

func (p *paced) SetWriteDeadline(at time.Time) error {
	p.since = 0
	p.given++
	if d := time.Until(at); d <= 0 || d > inTime {
		return fmt.Errorf("a deadline in %v", d)
	}
	return nil
}

func (p *paced) SetReadDeadline(time.Time) error { return nil }

// TestPieces: whoever takes in a piece is given time for the next one.
func TestPieces(t *testing.T) {
	s := &Server{o: Options{lineWithin: inTime}}
	for size, times := range map[int]int{10: 0, piece: 0, 10*piece + 1: 11} {
		p := &paced{ResponseRecorder: httptest.NewRecorder()}
		c := &call{server: s, w: p, route: &route{}}
		data := []byte(strings.Repeat("x", size))
		c.send(http.StatusOK, "text/plain", int64(size), bytes.NewReader(data))
		if p.Body.Len() != size || p.given != times || p.most > piece {
			t.Errorf("%d bytes: %d came, time was given %d times, once for %d bytes", size, p.Body.Len(), p.given, p.most)
		}
	}
}

// TestSlowDownloads: backups that nobody reads yet keep no other from being made, and come whole once they are read. Who does not read at all is cut off.
func TestSlowDownloads(t *testing.T) {
	s := newStand(t, func(o *Options) { o.lineWithin = time.Second })
	admin := s.person("admin", management.Admin)
	s.cluster(admin)
	_, err := s.records.AddPolicy(t.Context(), management.Actor{Kind: management.ByHost}, "edge", func(generation uint64) (*policy.Sealed, error) {
		return policy.Seal(&policy.Bundle{Cluster: 7, Generation: generation, Ruleset: noise(12 << 20)}, ed25519.NewKeyFromSeed(make([]byte, 32)))
	})
	must(t, err)
	download := func(i *identity) *http.Response {
		t.Helper()
		conf, err := pki.ClientTLS(s.ca, i.tls)
		must(t, err)
		hc := &http.Client{Transport: &http.Transport{TLSClientConfig: conf}} // HTTP/1.1: nothing reads ahead
		t.Cleanup(hc.CloseIdleConnections)
		req, err := http.NewRequest(http.MethodGet, s.url+"/v1/backup", nil)
		must(t, err)
		req.Header.Set("Authorization", "Bearer "+i.token)
		resp, err := hc.Do(req)
		must(t, err)
		t.Cleanup(func() { _ = resp.Body.Close() })
		if resp.StatusCode != http.StatusOK || resp.ContentLength < 12<<20 {
			t.Fatalf("%s, %d bytes", resp.Status, resp.ContentLength)
		}
		return resp
	}
	var lying []*http.Response
	for i := range heavyAtOnce + 1 {
		lying = append(lying, download(s.person(fmt.Sprintf("admin%d", i), management.Admin))) //nolint:bodyclose // when the test ends
	}
	now := download(admin) //nolint:bodyclose // likewise
	if n, err := io.Copy(io.Discard, now.Body); err != nil || n != now.ContentLength {
		t.Errorf("%d bytes of %d, %v", n, now.ContentLength, err)
	}
	// They have not read anything for as long as a piece may take.
	cut := 0
	s.eventually("who does not read is cut off", func() bool {
		s.server.one.mu.Lock()
		defer s.server.one.mu.Unlock()
		return len(s.server.one.all) == 0
	})
	for _, resp := range lying {
		if n, err := io.Copy(io.Discard, resp.Body); err != nil && n < resp.ContentLength {
			cut++
		}
	}
	if cut != len(lying) {
		t.Errorf("%d of %d are cut off", cut, len(lying))
	}
}

func TestFilesAreShared(t *testing.T) {
	f := newFiles()
	loads := 0
	load := func(context.Context) ([]byte, error) {
		loads++
		return make([]byte, 10), nil
	}
	key := fileKey{"edge", 1}
	a, giveA, err := f.get(t.Context(), key, maxFileBytes, load)
	must(t, err)
	b, giveB, err := f.get(t.Context(), key, maxFileBytes, load)
	must(t, err)
	if loads != 1 || &a[0] != &b[0] {
		t.Errorf("%d copies of one file", loads)
	}
	giveA()
	giveA()
	within, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := f.reserve(within, 1); api.CodeOf(err) != api.CodeTooMany {
		t.Errorf("beyond the bound: %v", err)
	}
	giveB()
	give, err := f.reserve(t.Context(), maxFileBytes)
	must(t, err)
	give()
	if len(f.all) != 0 {
		t.Error("a file stays that nobody takes")
	}
}
