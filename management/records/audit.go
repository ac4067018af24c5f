// SPDX-License-Identifier: Apache-2.0

package records

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/holdfast-project/holdfast/management"
	"github.com/holdfast-project/holdfast/management/audit"
	"github.com/holdfast-project/holdfast/management/store"
)

// maxText is the longest text of an event that somebody outside may have chosen, in bytes.
const maxText = 512

// maxDetails is how many details an event may have that the server makes of somebody's words; more are left out.
const maxDetails = 16

// Refuse writes down that something was refused. Changes are written down by themselves; what was refused before it came here, the server says.
// Long texts are cut: they may be an attacker's.
func (r *Records) Refuse(ctx context.Context, e management.Event) error {
	e.Time, e.Outcome = r.now().UnixNano(), management.Refused
	for _, s := range []*string{&e.Action, &e.Cluster, &e.Object, &e.Why, &e.Actor.Name, &e.Actor.Address, &e.Actor.Serial} {
		*s = cut(*s)
	}
	detail := map[string]string{}
	for k, v := range e.Detail {
		if len(e.Detail) <= maxDetails {
			detail[cut(k)] = cut(v)
		}
	}
	e.Detail = detail
	return r.store.Update(ctx, func(tx store.Tx) error { return appendEvent(tx, e) })
}

func cut(s string) string {
	if len(s) > maxText {
		return s[:maxText] + "..."
	}
	return s
}

// AuditHead is what the audit log ends with: what people note, and servers send to their log host.
func (r *Records) AuditHead(ctx context.Context) (head audit.Anchor, err error) {
	err = r.store.View(ctx, func(s store.Reader) error {
		head, err = readOr[audit.Anchor](s, auditHeadKey, "audit log")
		return err
	})
	return head, err
}

// Record is an entry of the audit log with its event read.
type Record struct {
	Number uint64           `json:"number"`
	Hash   string           `json:"hash"`
	Event  management.Event `json:"event"`
}

// AuditLog reads at most limit entries with numbers above after, in order.
func (r *Records) AuditLog(ctx context.Context, after uint64, limit int) ([]Record, error) {
	var all []Record
	err := r.store.View(ctx, func(s store.Reader) error {
		all = []Record{}
		for item, err := range s.Scan("audit/", auditKey(after)) {
			if err != nil {
				return err
			}
			if len(all) >= limit {
				return nil
			}
			e, err := entry(item)
			if err != nil {
				return err
			}
			rec := Record{Number: e.Number, Hash: e.Hash.String()}
			if err := json.Unmarshal(e.Body, &rec.Event); err != nil {
				return fmt.Errorf("audit log: entry %d: %w: %w", e.Number, store.ErrDamaged, err)
			}
			all = append(all, rec)
		}
		return nil
	})
	return all, err
}

func entry(item store.Item) (e audit.Entry, err error) {
	if err := json.Unmarshal(item.Value, &e); err != nil {
		return e, fmt.Errorf("audit log: %s: %w: %w", item.Key, store.ErrDamaged, err)
	}
	return e, nil
}

// VerifyAudit reads the whole log and returns what it ends with. The error is an *audit.BrokenError if an entry was changed, removed or put in, or
// if one of anchors is not in it.
func (r *Records) VerifyAudit(ctx context.Context, anchors ...audit.Anchor) (end audit.Anchor, err error) {
	err = r.store.View(ctx, func(s store.Reader) error {
		v := audit.NewVerifier(audit.Anchor{}, anchors...)
		for item, err := range s.Scan("audit/", "") {
			if err != nil {
				return err
			}
			e, err := entry(item)
			if err == nil && item.Key != auditKey(e.Number) {
				err = fmt.Errorf("audit log: %s holds entry %d: %w", item.Key, e.Number, audit.ErrBroken)
			}
			if err == nil {
				err = v.Next(e)
			}
			if err != nil {
				return err
			}
		}
		head, err := readOr[audit.Anchor](s, auditHeadKey, "audit log")
		if err != nil {
			return err
		}
		end, err = v.End(head)
		return err
	})
	return end, err
}
