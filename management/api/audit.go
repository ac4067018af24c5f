// SPDX-License-Identifier: Apache-2.0

package api

import "github.com/holdfast-project/holdfast/management"

// AuditEntry is one entry of the audit log.
type AuditEntry struct {
	Number uint64           `json:"number"`
	Hash   string           `json:"hash"`
	Event  management.Event `json:"event"`
}

// AuditVerified is what the audit log ends with, if it is whole.
type AuditVerified struct {
	Whole  bool   `json:"whole"`
	Anchor string `json:"anchor"`           // NUMBER:HASH: note it where the server's owner does not reach
	Broken uint64 `json:"broken,omitempty"` // first entry that is not what was written
	Why    string `json:"why,omitempty"`
}

// Done is the answer to a request that changes something.
type Done struct {
	Done string `json:"done"`
}
