// SPDX-License-Identifier: Apache-2.0

package management

import "github.com/holdfast-project/holdfast/policy"

// Policy is one generation of a cluster's policy. All are kept; the file itself rests beside the record.
type Policy struct {
	Cluster    string        `json:"cluster"`
	Generation uint64        `json:"generation"`
	Digest     policy.Digest `json:"digest"`
	Content    policy.Digest `json:"content"` // equal for equal rulesets, synchronisation rules and sets
	Author     string        `json:"author"`
	Comment    string        `json:"comment"`
	Origin     uint64        `json:"origin,omitempty"` // the generation whose content this is again, after a rollback
	Created    int64         `json:"created"`
	Size       int           `json:"size"`               // of the file, in bytes
	Declined   uint64        `json:"declined,omitempty"` // the attempt that was rolled back: members never take this generation again
}

// Ref names the policy.
func (p Policy) Ref() Ref { return Ref{p.Generation, p.Digest} }

// PolicyOf describes a sealed bundle. cluster is its name, size that of its file.
func PolicyOf(cluster string, sealed *policy.Sealed, size int) Policy {
	h, b := sealed.Head(), sealed.Bundle()
	return Policy{
		Cluster: cluster, Generation: h.Generation, Digest: h.Digest(), Content: h.Content,
		Author: b.Author, Comment: b.Comment, Origin: b.Origin, Created: h.Time().UnixNano(), Size: size,
	}
}
