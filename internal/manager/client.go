// SPDX-License-Identifier: Apache-2.0

package manager

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/holdfast-project/holdfast/management/api"
	"github.com/holdfast-project/holdfast/management/pki"
)

// Times of one request.
const (
	dialTimeout    = 3 * time.Second
	requestTimeout = 5 * time.Second // a report is held for about a second
	fetchTimeout   = time.Minute
	idleTimeout    = 10 * time.Second // news and policies go over a second connection, which is gone soon after
	maxAnswer      = 1 << 20          // bytes of an answer that is no policy
)

// client is a way to management's servers, with one identity and connections of its own.
type client struct {
	http  *http.Client
	creds *credentials // nil: enrolling
}

// newClient makes one. The server must be certified by the authority of the identity, for the host name of its address.
func newClient(c *credentials) (*client, error) {
	t, err := pki.ClientTLS(c.authority, &c.certificate)
	if err != nil {
		return nil, err
	}
	return &client{creds: c, http: newHTTP(t)}, nil
}

func newHTTP(t *tls.Config) *http.Client {
	// One request at a time, most of them held for a second: that costs a server a third of what it does as a stream of HTTP/2, with its frames, windows
	// and goroutines for each connection.
	protocols := &http.Protocols{}
	protocols.SetHTTP1(true)
	return &http.Client{
		Transport: &http.Transport{
			TLSClientConfig:     t,
			DialContext:         (&net.Dialer{Timeout: dialTimeout, KeepAlive: 10 * time.Second}).DialContext,
			TLSHandshakeTimeout: dialTimeout,
			IdleConnTimeout:     idleTimeout,
			DisableCompression:  true, // what is sent is a few hundred bytes, or does not get smaller
			Protocols:           protocols,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error {
			return errors.New("the server sends elsewhere, which management never does")
		},
	}
}

// close ends the connections that no request uses.
func (c *client) close() { c.http.CloseIdleConnections() }

// report sends a report. One that was sent over a connection that the server was about to close is sent again: it says the same.
func (c *client) report(ctx context.Context, url string, r api.Report) (o api.Orders, err error) {
	return o, c.send(ctx, url, "/v1/member/report", http.Header{"Idempotency-Key": {}}, r, &o)
}

// post sends JSON and reads JSON.
func (c *client) post(ctx context.Context, url, path string, body, answer any) error {
	return c.send(ctx, url, path, http.Header{}, body, answer)
}

func (c *client) send(ctx context.Context, url, path string, header http.Header, body, answer any) error {
	b, err := json.Marshal(body)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimSuffix(url, "/")+path, bytes.NewReader(b))
	if err != nil {
		return err
	}
	header.Set("Content-Type", "application/json")
	r.Header = header
	b, err = c.do(r, maxAnswer)
	if err != nil {
		return err
	}
	return json.Unmarshal(b, answer)
}

// get reads a file of at most limit bytes.
func (c *client) get(ctx context.Context, url, path string, limit int64) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(url, "/")+path, nil)
	if err != nil {
		return nil, err
	}
	return c.do(r, limit)
}

func (c *client) do(r *http.Request, limit int64) ([]byte, error) {
	answer, err := c.http.Do(r)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		limit = maxAnswer
	}
	b, err := io.ReadAll(io.LimitReader(answer.Body, limit+1))
	switch {
	case err != nil:
		return nil, err
	case int64(len(b)) > limit:
		return nil, fmt.Errorf("the server answers with more than %d bytes", limit)
	case answer.StatusCode == http.StatusOK:
		return b, nil
	}
	refused := &api.Error{}
	if json.Unmarshal(b, refused) != nil || refused.Code == "" {
		return nil, fmt.Errorf("the server answers %s", answer.Status)
	}
	return nil, refused
}
