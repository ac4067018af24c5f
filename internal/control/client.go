// SPDX-License-Identifier: Apache-2.0

package control

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"strconv"
	"time"
)

// DefaultSocket is where a member listens unless its cluster.yaml says otherwise.
const DefaultSocket = "/run/holdfast/control.sock"

// maxAnswer bounds an answer: state of eight members with a thousand addresses is a fraction of it.
const maxAnswer = 16 << 20

// How long a client waits. A daemon that is well answers a question within milliseconds; an order is answered when it has been carried
// out.
const (
	connectWithin = 3 * time.Second
	answerWithin  = 10 * time.Second
	orderWithin   = requestTimeout + 5*time.Second
)

// waits are the paths of orders that are answered when they have been carried out.
var waits = map[string]bool{"failover": true, "failover/reset": true, "admin": true, "reload": true, "sync/verify": true, "load/weight": true,
	"policy/fetch": true, "policy/unload": true, "policy/resume": true, "policy/load": true, "stop": true, "restart": true}

// Client asks one member. It is a Backend itself. Safe for concurrent use. A call fails when the daemon takes no connection within 3 s,
// or does not begin to answer within 10 s; within 65 s if it is an order that waits.
type Client struct {
	socket         string
	quick, patient *http.Client
}

var _ Backend = (*Client)(nil)

// NewClient returns a client for the socket at path. Nothing is connected until the first call; Close drops idle connections.
func NewClient(path string) *Client {
	return newClient(path, answerWithin, orderWithin)
}

func newClient(path string, answer, order time.Duration) *Client {
	within := func(limit time.Duration) *http.Client {
		dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{Timeout: connectWithin}).DialContext(ctx, "unix", path)
		}
		return &http.Client{Transport: &http.Transport{DialContext: dial, MaxIdleConns: 2, ResponseHeaderTimeout: limit}}
	}
	return &Client{socket: path, quick: within(answer), patient: within(order)}
}

// Close drops idle connections.
func (c *Client) Close() {
	c.quick.CloseIdleConnections()
	c.patient.CloseIdleConnections()
}

// State implements Backend.
func (c *Client) State(ctx context.Context) (v State, err error) { return v, c.get(ctx, "state", &v) }

// Interfaces implements Backend.
func (c *Client) Interfaces(ctx context.Context) (v Interfaces, err error) {
	return v, c.get(ctx, "interfaces", &v)
}

// Devices implements Backend.
func (c *Client) Devices(ctx context.Context) (v Devices, err error) {
	return v, c.get(ctx, "devices", &v)
}

// VIPs implements Backend.
func (c *Client) VIPs(ctx context.Context) (v VIPs, err error) { return v, c.get(ctx, "vips", &v) }

// Failovers implements Backend.
func (c *Client) Failovers(ctx context.Context) (v Failovers, err error) {
	return v, c.get(ctx, "failovers", &v)
}

// History implements Backend.
func (c *Client) History(ctx context.Context) (v History, err error) {
	return v, c.get(ctx, "history", &v)
}

// Timers implements Backend.
func (c *Client) Timers(ctx context.Context) (v Timers, err error) {
	return v, c.get(ctx, "timers", &v)
}

// Why implements Backend.
func (c *Client) Why(ctx context.Context) (v Why, err error) { return v, c.get(ctx, "why", &v) }

// Counters implements Backend.
func (c *Client) Counters(ctx context.Context) (v Counters, err error) {
	return v, c.get(ctx, "counters", &v)
}

// Sync implements Backend.
func (c *Client) Sync(ctx context.Context) (v Sync, err error) { return v, c.get(ctx, "sync", &v) }

// SyncStats implements Backend.
func (c *Client) SyncStats(ctx context.Context) (v SyncStats, err error) {
	return v, c.get(ctx, "sync/stats", &v)
}

// Load implements Backend.
func (c *Client) Load(ctx context.Context) (v Load, err error) { return v, c.get(ctx, "load", &v) }

// LoadDefines implements Backend.
func (c *Client) LoadDefines(ctx context.Context) (v LoadDefines, err error) {
	return v, c.get(ctx, "load/defines", &v)
}

// LoadWeight implements Backend.
func (c *Client) LoadWeight(ctx context.Context, r LoadWeightRequest) (v Result, err error) {
	return v, c.post(ctx, "load/weight", r, &v)
}

// Which implements Backend.
func (c *Client) Which(ctx context.Context, r WhichRequest) (v Which, err error) {
	return v, c.post(ctx, "load/which", r, &v)
}

// ResetSync implements Backend.
func (c *Client) ResetSync(ctx context.Context) (v Result, err error) {
	return v, c.post(ctx, "sync/reset", nil, &v)
}

// VerifySync implements Backend.
func (c *Client) VerifySync(ctx context.Context, r SyncVerifyRequest) (v SyncVerify, err error) {
	return v, c.post(ctx, "sync/verify", r, &v)
}

// Failover implements Backend.
func (c *Client) Failover(ctx context.Context, r FailoverRequest) (v Result, err error) {
	return v, c.post(ctx, "failover", r, &v)
}

// ResetFailovers implements Backend.
func (c *Client) ResetFailovers(ctx context.Context, r ResetRequest) (v Result, err error) {
	return v, c.post(ctx, "failover/reset", r, &v)
}

// Admin implements Backend.
func (c *Client) Admin(ctx context.Context, r AdminRequest) (v Result, err error) {
	return v, c.post(ctx, "admin", r, &v)
}

// Device implements Backend.
func (c *Client) Device(ctx context.Context, r DeviceRequest) (v Result, err error) {
	return v, c.post(ctx, "devices", r, &v)
}

// ManyDevices implements Backend.
func (c *Client) ManyDevices(ctx context.Context, r DevicesRequest) (v Result, err error) {
	return v, c.post(ctx, "devices/batch", r, &v)
}

// Freeze implements Backend.
func (c *Client) Freeze(ctx context.Context, r FreezeRequest) (v Result, err error) {
	return v, c.post(ctx, "freeze", r, &v)
}

// Reload implements Backend.
func (c *Client) Reload(ctx context.Context) (v ReloadResult, err error) {
	return v, c.post(ctx, "reload", nil, &v)
}

// Stop implements Backend.
func (c *Client) Stop(ctx context.Context) (v Result, err error) {
	return v, c.post(ctx, "stop", nil, &v)
}

// Restart implements Backend.
func (c *Client) Restart(ctx context.Context) (v Result, err error) {
	return v, c.post(ctx, "restart", nil, &v)
}

// Events returns the kept events after sequence number since; 0 for all.
func (c *Client) Events(ctx context.Context, since uint64) ([]Event, error) {
	var all []Event
	err := c.stream(ctx, "events?since="+strconv.FormatUint(since, 10), func(e Event) error {
		all = append(all, e)
		return nil
	})
	return all, err
}

// Follow calls f for the kept events after since and then for each new one, until ctx ends or f fails (their error) or the daemon
// ends (io.EOF).
func (c *Client) Follow(ctx context.Context, since uint64, f func(Event) error) error {
	if err := c.stream(ctx, "events?follow=1&since="+strconv.FormatUint(since, 10), f); err != nil {
		return err
	}
	return io.EOF
}

func (c *Client) get(ctx context.Context, path string, out any) error {
	return c.call(ctx, http.MethodGet, path, nil, out)
}

func (c *Client) post(ctx context.Context, path string, in, out any) error {
	var body []byte
	if in != nil {
		var err error
		if body, err = json.Marshal(in); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
	}
	return c.call(ctx, http.MethodPost, path, body, out)
}

func (c *Client) call(ctx context.Context, method, path string, body []byte, out any) error {
	resp, err := c.do(ctx, method, path, body)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxAnswer)).Decode(out); err != nil {
		return fmt.Errorf("answer of %s to %s: %w", c.socket, path, err)
	}
	return nil
}

func (c *Client) stream(ctx context.Context, path string, f func(Event) error) error {
	resp, err := c.do(ctx, http.MethodGet, path, nil)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var e Event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			return fmt.Errorf("event from %s: %w", c.socket, err)
		}
		if err := f(e); err != nil {
			return err
		}
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err := lines.Err(); err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("events from %s: %w", c.socket, err)
	}
	return nil
}

// do sends a request and turns everything but success into an error that says what to do.
func (c *Client) do(ctx context.Context, method, path string, body []byte) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://holdfast/v1/"+path, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	hc := c.quick
	if waits[path] {
		hc = c.patient
	}
	resp, err := hc.Do(req)
	if err != nil {
		return nil, c.explain(ctx, err)
	}
	if resp.StatusCode == http.StatusOK {
		return resp, nil
	}
	defer func() { _ = resp.Body.Close() }()
	var e Error
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxBody)).Decode(&e); err != nil || e.Code == "" {
		return nil, fmt.Errorf("%s answered %s to %s %s; compare the versions of holdfast and holdfastd", c.socket, resp.Status, method, path)
	}
	return nil, &e
}

func (c *Client) explain(ctx context.Context, err error) error {
	var late net.Error
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.As(err, &late) && late.Timeout():
		return fmt.Errorf("the daemon at %s does not answer: %w; look at its log (journalctl -u holdfastd)", c.socket, err)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%s: %w; run as root", c.socket, fs.ErrPermission)
	case errors.Is(err, fs.ErrNotExist), isRefused(err):
		return fmt.Errorf("no daemon answers at %s: %w; start it (systemctl start holdfastd) or name its socket with --socket", c.socket, ErrNoDaemon)
	default:
		return fmt.Errorf("%s: %w", c.socket, err)
	}
}
