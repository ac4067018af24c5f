// SPDX-License-Identifier: Apache-2.0

package server

import (
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/holdfast-project/holdfast/management/api"
	"github.com/holdfast-project/holdfast/management/audit"
)

// health says whether the store answers. It asks for no certificate, and tells nothing else.
func (c *call) health() (any, error) {
	if _, err := c.server.o.Records.Epoch(c.context()); err != nil {
		return nil, err
	}
	return api.Done{Done: "ok"}, nil
}

func (c *call) document() (any, error) { return file{"application/yaml", api.Document()}, nil }

// Bounds of the audit log's pages.
const (
	auditPage = 100
	auditMost = 1000
)

func (c *call) audit() (any, error) {
	after, err := c.query("after")
	if err != nil {
		return nil, err
	}
	limit, err := c.query("limit")
	if err != nil {
		return nil, err
	}
	if limit == 0 {
		limit = auditPage
	}
	if c.r.URL.Query().Get("after") == "" {
		head, err := c.server.o.Records.AuditHead(c.context())
		if err != nil {
			return nil, err
		}
		after = head.Number - min(head.Number, min(limit, auditMost)) // the newest
	}
	log, err := c.server.o.Records.AuditLog(c.context(), after, int(min(limit, auditMost)))
	if err != nil {
		return nil, err
	}
	out := make([]api.AuditEntry, 0, len(log))
	for _, r := range log {
		out = append(out, api.AuditEntry{Number: r.Number, Hash: r.Hash, Event: r.Event})
	}
	return out, nil
}

// maxAnchors bounds what one request has looked for.
const maxAnchors = 64

func (c *call) verifyAudit() (any, error) {
	var anchors []audit.Anchor
	for _, text := range c.r.URL.Query()["anchor"] {
		a, err := audit.ParseAnchor(text)
		if err != nil {
			return nil, invalid(err.Error(), "write NUMBER:HASH, as \"audit verify\" prints it")
		}
		anchors = append(anchors, a)
	}
	if len(anchors) > maxAnchors {
		return nil, invalid(fmt.Sprintf("%d anchors", len(anchors)), fmt.Sprintf("at most %d", maxAnchors))
	}
	end, err := c.server.o.Records.VerifyAudit(c.context(), anchors...)
	if broken := (*audit.BrokenError)(nil); errors.As(err, &broken) {
		return api.AuditVerified{Anchor: end.String(), Broken: broken.Number, Why: broken.Error()}, nil
	}
	if err != nil {
		return nil, err
	}
	return api.AuditVerified{Whole: true, Anchor: end.String()}, nil
}

// backup sends everything that the store has. It is made before the first byte is sent, so that what arrives with status 200 and its whole length is whole.
func (c *call) backup() (any, error) {
	s, err := c.spool("application/octet-stream", func(w io.Writer) error {
		return c.server.o.Records.Backup(c.context(), c.actor, w)
	})
	if err != nil {
		return nil, err
	}
	name := "holdfast-mgmt-" + c.server.o.Now().UTC().Format("20060102T150405Z") + ".backup"
	c.w.Header().Set("Content-Disposition", `attachment; filename="`+name+`"`)
	return s, nil
}

func (c *call) metrics() (any, error) {
	c.deadlines(inTime)
	c.server.Metrics().ServeHTTP(c.w, c.r)
	return streamed{}, nil
}

// Metrics answers with what is measured, in Prometheus' format, to anybody: for a listener that only the monitoring reaches.
func (s *Server) Metrics() http.Handler { return s.measured.handler(s) }
