// SPDX-License-Identifier: Apache-2.0

package management

import (
	"errors"
	"fmt"
	"regexp"
	"slices"

	"github.com/holdfast-project/holdfast/policy"
)

// ErrValue says that a name, a number or a list cannot be. Errors that wrap it name the value and what is allowed.
var ErrValue = errors.New("value not allowed")

// MaxConfig is the longest cluster.yaml, in bytes: it rests in the cluster's record, which must fit a transaction of the store.
const MaxConfig = 256 << 10

// Ref names one policy of a cluster. The zero value is none.
type Ref struct {
	Generation uint64        `json:"generation"`
	Digest     policy.Digest `json:"digest"`
}

// None reports whether it names no policy.
func (r Ref) None() bool { return r.Generation == 0 }

// Offer is the policy as one of several copies.
func (r Ref) Offer(source string) policy.Offer {
	return policy.Offer{Source: source, Generation: r.Generation, Digest: r.Digest}
}

// String is what people see of it.
func (r Ref) String() string {
	if r.None() {
		return "none"
	}
	return fmt.Sprintf("%d (%s)", r.Generation, r.Digest.Short())
}

// Cluster is what management knows of one cluster.
type Cluster struct {
	Name    string   `json:"name"`
	ID      uint16   `json:"id"`      // of CCP and of bundles, not 0; no two clusters share it, since one key signs for all
	Members []string `json:"members"` // as cluster.yaml names them
	Config  []byte   `json:"config"`  // cluster.yaml, as the operator wrote it
	Added   int64    `json:"added"`
	Changed int64    `json:"changed"`

	Current  Ref     `json:"current"`  // what members that recover are offered: the policy of the newest attempt that was committed and not rolled back
	Previous Ref     `json:"previous"` // what Current was before; it is current again if the attempt is rolled back
	Attempt  uint64  `json:"attempt"`  // the newest, over or not; 0: there was none
	Numbers  Numbers `json:"numbers"`
}

// Validate checks what an operator gives: name, id, members, size of cluster.yaml.
func (c Cluster) Validate() error {
	if err := checkName("cluster", c.Name); err != nil {
		return err
	}
	if c.ID == 0 {
		return fmt.Errorf("cluster %s: id 0: %w: 1 to 65535, as in cluster.yaml", c.Name, ErrValue)
	}
	if len(c.Members) == 0 {
		return fmt.Errorf("cluster %s: no members: %w: cluster.yaml names at least one", c.Name, ErrValue)
	}
	for i, m := range c.Members {
		if err := checkName("member", m); err != nil {
			return fmt.Errorf("cluster %s: %w", c.Name, err)
		}
		if slices.Contains(c.Members[:i], m) {
			return fmt.Errorf("cluster %s: member %s: %w: it is named twice", c.Name, m, ErrValue)
		}
	}
	if len(c.Config) == 0 || len(c.Config) > MaxConfig {
		return fmt.Errorf("cluster %s: cluster.yaml of %d bytes: %w: 1 to %d", c.Name, len(c.Config), ErrValue, MaxConfig)
	}
	return nil
}

// Has reports whether member is one of the cluster's.
func (c Cluster) Has(member string) bool { return slices.Contains(c.Members, member) }

var name = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$`)

// checkName holds for clusters, members and users: what is a host name's label is always one.
func checkName(what, s string) error {
	if !name.MatchString(s) {
		return fmt.Errorf("%s %q: %w: 1 to 63 of letters, digits, '-', '.' and '_', beginning and ending with a letter or digit", what, s, ErrValue)
	}
	return nil
}

// Member is one member of a cluster as management knows it apart from what it reports, which is never stored.
type Member struct {
	Cluster      string   `json:"cluster"`
	Name         string   `json:"name"`
	Enrolled     int64    `json:"enrolled"`               // the last time; 0: never
	Token        string   `json:"token,omitempty"`        // identifier of the newest that was made for it
	Certificates []string `json:"certificates,omitempty"` // serials of those that are not revoked, the newest last: two while one renews the other
}
