// SPDX-License-Identifier: Apache-2.0

package api

import (
	"bufio"
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
)

// MaxAnswer bounds an answer in JSON: a policy with its ruleset is the longest.
const MaxAnswer = 64 << 20

// Client asks management's servers. Safe for concurrent use.
type Client struct {
	servers []string
	token   string
	http    *http.Client
}

// NewClient makes a client of servers, https URLs, which are tried in order: all of them serve the same store. token is a person's; "" for none.
// Nothing is connected before the first call.
func NewClient(servers []string, tls *tls.Config, token string) *Client {
	transport := &http.Transport{TLSClientConfig: tls, ForceAttemptHTTP2: true, TLSHandshakeTimeout: 10 * time.Second, ResponseHeaderTimeout: 5 * time.Minute,
		DialContext: (&net.Dialer{Timeout: 5 * time.Second}).DialContext, IdleConnTimeout: time.Minute}
	c := &Client{token: token, http: &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
	for _, s := range servers {
		c.servers = append(c.servers, strings.TrimRight(s, "/"))
	}
	return c
}

// Close drops idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Call sends in as JSON, unless it is nil, and reads the answer into out, unless that is nil. A failure that the server tells of is an *Error.
func (c *Client) Call(ctx context.Context, method, path string, in, out any) error {
	body, err := c.open(ctx, method, path, in)
	if err != nil {
		return err
	}
	defer body.Close()
	if out == nil {
		return nil
	}
	if err := json.NewDecoder(io.LimitReader(body, MaxAnswer)).Decode(out); err != nil {
		return fmt.Errorf("answer to %s %s: %w", method, path, err)
	}
	return nil
}

// Copy writes the answer to w, and reports an error if it ended early.
func (c *Client) Copy(ctx context.Context, path string, w io.Writer) error {
	body, err := c.open(ctx, http.MethodGet, path, nil)
	if err != nil {
		return err
	}
	defer body.Close()
	if _, err := io.Copy(w, body); err != nil {
		return fmt.Errorf("answer to GET %s: %w", path, err)
	}
	return nil
}

// Lines calls f for each line of an install's answer. An error of the install is f's as any other line; the error here is that of the connection, or f's.
func (c *Client) Lines(ctx context.Context, method, path string, in any, f func(InstallLine) error) error {
	body, err := c.open(ctx, method, path, in)
	if err != nil {
		return err
	}
	defer body.Close()
	lines := bufio.NewScanner(body)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var l InstallLine
		if err := json.Unmarshal(lines.Bytes(), &l); err != nil {
			return fmt.Errorf("line of %s: %w", path, err)
		}
		if err := f(l); err != nil {
			return err
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("answer to %s %s: %w", method, path, err)
	}
	return nil
}

// open sends a request to the first server that takes a connection.
func (c *Client) open(ctx context.Context, method, path string, in any) (io.ReadCloser, error) {
	var data []byte
	if in != nil {
		var err error
		if data, err = json.Marshal(in); err != nil {
			return nil, fmt.Errorf("%s %s: %w", method, path, err)
		}
	}
	if len(c.servers) == 0 {
		return nil, errors.New("no management server is named; use --server https://HOST:9443")
	}
	var failed []error
	for _, server := range c.servers {
		resp, err := c.send(ctx, method, server+path, data)
		var dial *net.OpError
		if err != nil && ctx.Err() == nil && errors.As(err, &dial) && dial.Op == "dial" {
			failed = append(failed, err) // nothing was sent: another one may be asked
			continue
		}
		if err != nil {
			return nil, err
		}
		if resp.StatusCode == http.StatusOK || resp.StatusCode == http.StatusCreated {
			return resp.Body, nil
		}
		defer resp.Body.Close()
		var e Error
		if err := json.NewDecoder(io.LimitReader(resp.Body, 1<<20)).Decode(&e); err != nil || e.Code == "" {
			return nil, fmt.Errorf("%s answered %s to %s %s, which is not what holdfast-mgmt says; compare the URL", server, resp.Status, method, path)
		}
		return nil, &e
	}
	return nil, fmt.Errorf("no management server answers: %w; look there (systemctl status holdfast-mgmt), or name another with --server", errors.Join(failed...))
}

func (c *Client) send(ctx context.Context, method, url string, data []byte) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	if data != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	return c.http.Do(req)
}
