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
	maxAnswer      = 1 << 20 // bytes of an answer that is no policy
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
	protocols := &http.Protocols{}
	protocols.SetHTTP2(true)
	return &http.Client{
		Transport: &http.Transport{
			TLSClientConfig:     t,
			DialContext:         (&net.Dialer{Timeout: dialTimeout, KeepAlive: 10 * time.Second}).DialContext,
			TLSHandshakeTimeout: dialTimeout,
			IdleConnTimeout:     time.Minute,
			Protocols:           protocols,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error {
			return errors.New("the server sends elsewhere, which management never does")
		},
	}
}

// close ends the connections that no request uses.
func (c *client) close() { c.http.CloseIdleConnections() }

// post sends JSON and reads JSON.
func (c *client) post(ctx context.Context, url, path string, body, answer any) error {
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
	r.Header.Set("Content-Type", "application/json")
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
