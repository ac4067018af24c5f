// SPDX-License-Identifier: Apache-2.0

package api

import (
	"time"

	"github.com/holdfast-project/holdfast/management"
	"github.com/holdfast-project/holdfast/policy"
)

// Self is who the server takes the client for, and which server it is.
type Self struct {
	Kind     management.CertificateKind `json:"kind"`
	User     string                     `json:"user,omitempty"`
	Role     string                     `json:"role,omitempty"`
	Cluster  string                     `json:"cluster,omitempty"`
	Member   string                     `json:"member,omitempty"`
	Serial   string                     `json:"serial"`
	NotAfter time.Time                  `json:"not_after"`
	Server   string                     `json:"server"`
	Version  string                     `json:"version"`
}

// ClusterRequest adds a cluster, or gives it another cluster.yaml.
type ClusterRequest struct {
	Config string `json:"config"`         // cluster.yaml; it names the cluster, its id and its members
	File   string `json:"file,omitempty"` // its name, for messages
}

// Cluster is one cluster.
type Cluster struct {
	Name     string     `json:"name"`
	ID       uint16     `json:"id"`
	Members  []string   `json:"members"`
	Here     int        `json:"here"` // members that report
	Current  Offer      `json:"current"`
	Previous Offer      `json:"previous"`
	Attempt  uint64     `json:"attempt"` // the newest; 0: none
	Status   string     `json:"status"`  // ok, or what is not: "gw-b silent", "gw-a has generation 41"
	Unsure   []string   `json:"unsure,omitempty"`
	Added    time.Time  `json:"added"`
	Changed  *time.Time `json:"changed,omitempty"`
	Config   string     `json:"config,omitempty"` // only of one that is asked for by name
}

// Member is one member: what is known of it, and its newest report.
type Member struct {
	Cluster     string     `json:"cluster"`
	Name        string     `json:"name"`
	Enrolled    *time.Time `json:"enrolled,omitempty"`
	Certificate string     `json:"certificate,omitempty"` // serial
	Here        bool       `json:"here"`                  // it reports to this server
	Seen        *time.Time `json:"seen,omitempty"`        // its last report
	Report      *Report    `json:"report,omitempty"`
}

// TokenRequest asks for a one-time token.
type TokenRequest struct {
	ForMs int64 `json:"for_ms,omitempty"` // how long it may be used; 0: an hour
}

// TokenGranted is a token that was just made: the only time that it is shown.
type TokenGranted struct {
	ID      string    `json:"id"`
	Grant   string    `json:"grant"` // TOKEN.FINGERPRINT
	For     string    `json:"for"`   // CLUSTER/MEMBER, or a user's name
	Expires time.Time `json:"expires"`
}

// Token is what is known of one that was given away.
type Token struct {
	ID      string     `json:"id"`
	Kind    string     `json:"kind"` // member, person-enrolment: used once; person
	For     string     `json:"for"`
	Status  string     `json:"status"` // open used expired revoked
	Created time.Time  `json:"created"`
	By      string     `json:"by"`
	Expires time.Time  `json:"expires"`
	Used    *time.Time `json:"used,omitempty"`
}

// Certificate is one that was issued.
type Certificate struct {
	Serial   string     `json:"serial"`
	Kind     string     `json:"kind"` // server member person
	For      string     `json:"for"`
	Status   string     `json:"status"` // good expired revoked
	Issued   time.Time  `json:"issued"`
	By       string     `json:"by"`
	NotAfter time.Time  `json:"not_after"`
	Revoked  *time.Time `json:"revoked,omitempty"`
	Why      string     `json:"why,omitempty"`
}

// RevokeRequest says why something is revoked.
type RevokeRequest struct {
	Why string `json:"why,omitempty"`
}

// UserRequest adds a person, or gives one another role.
type UserRequest struct {
	Name string `json:"name"`
	Role string `json:"role"` // viewer operator admin
}

// User is a person.
type User struct {
	Name  string    `json:"name"`
	Role  string    `json:"role"`
	Added time.Time `json:"added"`
	By    string    `json:"by"`
}

// NumbersRequest says which numbers the cluster's members may have seen at most, after a restore.
type NumbersRequest struct {
	Generation uint64 `json:"generation"`
	Attempt    uint64 `json:"attempt"`
}

// Policy is one generation.
type Policy struct {
	Generation uint64        `json:"generation"`
	Digest     policy.Digest `json:"digest"`
	Content    policy.Digest `json:"content"` // equal for equal content
	Author     string        `json:"author"`
	Comment    string        `json:"comment,omitempty"`
	Origin     uint64        `json:"origin,omitempty"` // the generation whose content it has again
	Created    time.Time     `json:"created"`
	Size       int           `json:"size"`               // of its file
	Status     string        `json:"status"`             // current, previous, declined, or ""
	Declined   uint64        `json:"declined,omitempty"` // attempt that was rolled back

	// Only of one that is asked for by number.
	File        string   `json:"file,omitempty"` // of the ruleset
	Ruleset     string   `json:"ruleset,omitempty"`
	Sync        []string `json:"sync,omitempty"`
	Keep        []string `json:"keep,omitempty"`
	Connections string   `json:"connections,omitempty"`
}

// Diff tells two generations apart.
type Diff struct {
	From    uint64   `json:"from"`
	To      uint64   `json:"to"`
	Equal   bool     `json:"equal"`
	Changes []Change `json:"changes"`
	Other   []string `json:"other,omitempty"` // of synchronisation rules, sets to keep, connections: "+ sync dns=never"
}

// Change is one object of the ruleset that differs.
type Change struct {
	Object  string       `json:"object"` // inet filter chain forward
	Added   bool         `json:"added,omitempty"`
	Removed bool         `json:"removed,omitempty"` // neither: it changed
	Lines   []LineChange `json:"lines"`
}

// LineChange is a statement or element that is in one of the two only.
type LineChange struct {
	Added bool   `json:"added"`
	Line  int    `json:"line"` // of the file that has it
	Text  string `json:"text"`
}
