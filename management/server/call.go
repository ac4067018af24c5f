// SPDX-License-Identifier: Apache-2.0

package server

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/holdfast-project/holdfast/management"
	"github.com/holdfast-project/holdfast/management/api"
	"github.com/holdfast-project/holdfast/management/pki"
)

// call is one request on its way through the server.
type call struct {
	server *Server
	w      http.ResponseWriter
	r      *http.Request
	route  *route
	who    pki.Shown       // the zero value where no certificate is asked for
	role   management.Role // of a person
	actor  management.Actor
	raw    []byte   // of the body, if it was read before
	light  func()   // gives back what admit took
	shared func()   // of that, what all clients share
	after  []func() // what else is given back with the answer
}

func (c *call) context() context.Context { return c.r.Context() }

// lasting is for what has to be brought to its end though the client is gone.
func (c *call) lasting(within time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(c.context()), within)
}

// path is a part of the path that the route's pattern names.
func (c *call) path(name string) string { return c.r.PathValue(name) }

// number reads a part of the path.
func (c *call) number(name string) (uint64, error) { return number(name, c.path(name)) }

// query reads a parameter that is a number; 0 if it is not there.
func (c *call) query(name string) (uint64, error) {
	text := c.r.URL.Query().Get(name)
	if text == "" {
		return 0, nil
	}
	return number(name, text)
}

func number(name, text string) (uint64, error) {
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0, invalid(fmt.Sprintf("%s %.40q", name, text), "write a whole number")
	}
	return n, nil
}

// body reads JSON of at most the route's length into v. Fields that it does not know are refused to people, who may have misspelt them, and ignored in what
// members send, which may be newer than the server.
func (c *call) body(v any) error {
	if c.raw == nil {
		if err := c.read(); err != nil {
			return err
		}
	}
	data := c.raw
	c.raw = nil
	d := json.NewDecoder(bytes.NewReader(data))
	if c.route.access != members {
		d.DisallowUnknownFields()
	}
	if err := d.Decode(v); err != nil {
		return invalid("the body is not what it should be: "+err.Error(), "compare it with /v1/openapi.yaml")
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return invalid("something follows the body's JSON", "send one value")
	}
	return nil
}

// read takes the body as it is.
func (c *call) read() (err error) {
	if enc := c.r.Header.Get("Content-Encoding"); enc != "" && enc != "identity" {
		return invalid(fmt.Sprintf("Content-Encoding %.40q", enc), "send the body as it is")
	}
	if n := c.r.ContentLength; n > 0 && n <= min(tiny, c.route.most) {
		c.raw = make([]byte, n)
		_, err = io.ReadFull(c.r.Body, c.raw)
	} else {
		c.raw, err = io.ReadAll(http.MaxBytesReader(c.w, c.r.Body, c.route.most))
	}
	if large := (*http.MaxBytesError)(nil); errors.As(err, &large) {
		return &api.Error{Code: api.CodeTooLarge, What: fmt.Sprintf("the body has more than %d bytes", c.route.most), WayOut: "send less"}
	}
	if err != nil {
		return invalid("the body did not arrive: "+err.Error(), "send it again")
	}
	return nil
}

// done gives back all that the request took.
func (c *call) done() {
	c.light()
	for _, give := range c.after {
		give()
	}
}

// maybe reads a body that may be missing.
func (c *call) maybe(v any) error {
	if c.r.ContentLength == 0 {
		return nil
	}
	return c.body(v)
}

// deadlines bound how long the client may take to send and to receive.
func (c *call) deadlines(within time.Duration) {
	rc := http.NewResponseController(c.w)
	at := time.Now().Add(within)
	_ = rc.SetReadDeadline(at) // a transport without deadlines has none to be set: a test's
	_ = rc.SetWriteDeadline(at)
}

// answer sends v as JSON.
func (c *call) answer(status int, v any) {
	data, err := json.Marshal(v)
	if err != nil {
		c.server.o.Log.Error("an answer cannot be written", "path", c.r.URL.Path, "error", err)
		status, data = http.StatusInternalServerError, []byte(`{"error":"internal","what":"the answer cannot be written"}`)
	}
	data = append(data, '\n')
	if len(data) <= medium {
		c.shared() // who reads slowly keeps nobody else waiting, and its own places bound what it leaves lying
	} else if c.route.heavy {
		s, err := c.spool("application/json", func(w io.Writer) error { _, err := w.Write(data); return err })
		if err == nil {
			data = nil
			c.send(status, s.kind, s.size, s.file)
			return
		}
		c.server.o.Log.Warn("a large answer keeps its place while it is sent", "path", c.r.URL.Path, "error", err)
	}
	c.send(status, "application/json", int64(len(data)), bytes.NewReader(data))
}

// streamed says that the handler has answered by itself, or does so in then: what the handler itself needed is in memory no longer.
type streamed struct{ then func() }
