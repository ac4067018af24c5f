// SPDX-License-Identifier: Apache-2.0

package control

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// MaxPolicyFile is the longest policy file that the API takes and gives, in bytes.
const MaxPolicyFile = 34 << 20

// Policy is the policy as this member has it, and what it knows of the others'.
type Policy struct {
	Member     string            `json:"member"`
	Status     string            `json:"status"` // ok init problem: of the critical device "policy"
	Reason     string            `json:"reason,omitempty"`
	InForce    *PolicyGeneration `json:"in_force,omitempty"`
	Previous   *PolicyGeneration `json:"previous,omitempty"` // what a rollback goes back to
	Prepared   *PolicyGeneration `json:"prepared,omitempty"` // loaded and asleep: an install is under way
	Attempt    *PolicyAttempt    `json:"attempt,omitempty"`  // the newest install that this member knows
	Highest    uint64            `json:"highest,omitempty"`  // the highest generation that this member ever saw
	Unloaded   bool              `json:"unloaded,omitempty"` // by an operator's order
	BootFilter bool              `json:"boot_filter"`        // it holds, since nothing else does
	Enforce    bool              `json:"enforce"`
	Keys       []string          `json:"keys"`               // fingerprints of the keys that are trusted
	Drift      []string          `json:"drift,omitempty"`    // how the kernel differs from what is in force
	DriftBy    string            `json:"drift_by,omitempty"` // who changed it last
	Services   []string          `json:"services,omitempty"` // the policy's rules of synchronisation, which replace those of cluster.yaml
	Keep       []string          `json:"keep,omitempty"`     // sets that outlive a change of generations
	Tables     []string          `json:"tables,omitempty"`   // in force, by the names of the policy's file
	Management *PolicyManagement `json:"management,omitempty"`
	Members    []PolicyMember    `json:"members"`
	Last       PolicyDurations   `json:"last"`
	Counters   map[string]uint64 `json:"counters"` // installed refused aborted rolled-back drifts restored conflicts damaged forged
	Fetched    map[string]uint64 `json:"fetched"`  // policies that came from a member, or from management
}

// PolicyGeneration is one policy that this member has.
type PolicyGeneration struct {
	Generation uint64     `json:"generation"`
	Digest     string     `json:"digest"`
	Content    string     `json:"content"` // equal for equal content, whatever the generation
	Created    time.Time  `json:"created"` // by management's clock
	Author     string     `json:"author,omitempty"`
	Comment    string     `json:"comment,omitempty"`
	Origin     uint64     `json:"origin,omitempty"`   // generation whose content it has again
	Since      *time.Time `json:"since,omitempty"`    // in force here since then; left out before the daemon's start
	Declined   bool       `json:"declined,omitempty"` // it was taken back here, and is never taken again
	State      string     `json:"state"`              // in-force previous prepared declined kept
}

// PolicyAttempt is where this member is in an install.
type PolicyAttempt struct {
	Number     uint64     `json:"number"`
	Generation uint64     `json:"generation"`
	Digest     string     `json:"digest"`
	State      string     `json:"state"` // idle loading prepared committing committed aborted refused ...
	Why        string     `json:"why,omitempty"`
	Committed  *time.Time `json:"committed,omitempty"`
	Confirmed  bool       `json:"confirmed"`
	RolledBack bool       `json:"rolled_back,omitempty"`
	InDoubt    bool       `json:"in_doubt,omitempty"` // it gave its word and hears nothing
}

// PolicyManagement is the way to the management server.
type PolicyManagement struct {
	URLs      []string `json:"urls"`
	Reachable bool     `json:"reachable"`
	Why       string   `json:"why,omitempty"` // it is not
	// Certificate is the serial number of this member's, NotAfter its end; "": it is not enrolled.
	Certificate string     `json:"certificate,omitempty"`
	NotAfter    *time.Time `json:"not_after,omitempty"`
}

// PolicyMember is what a member says of its policy.
type PolicyMember struct {
	ID         uint8  `json:"id"`
	Name       string `json:"name"`
	Local      bool   `json:"local"`
	State      string `json:"state"`
	Generation uint64 `json:"generation"` // in force; 0: none, or it does not tell
	Digest     string `json:"digest,omitempty"`
	Highest    uint64 `json:"highest,omitempty"`
	Attempt    uint64 `json:"attempt,omitempty"`
	Install    string `json:"install,omitempty"` // where it is in that attempt
	Differs    bool   `json:"differs,omitempty"` // from the member that serves
	Heard      bool   `json:"heard"`
	Reason     string `json:"reason,omitempty"` // why it has none
}

// PolicyDurations are how long the last install took on this member, by phase.
type PolicyDurations struct {
	FetchMs   float64 `json:"fetch_ms"`
	PrepareMs float64 `json:"prepare_ms"`
	CommitMs  float64 `json:"commit_ms"`
}

// PolicyHistory lists the policies that this member has on its disk, the newest first.
type PolicyHistory struct {
	Member      string             `json:"member"`
	Generations []PolicyGeneration `json:"generations"`
}

// PolicyState is what State says of policies.
type PolicyState struct {
	Generation uint64     `json:"generation"` // in force here; 0: none
	Digest     string     `json:"digest,omitempty"`
	Since      *time.Time `json:"since,omitempty"`
	Comment    string     `json:"comment,omitempty"`
	Status     string     `json:"status"`
	Reason     string     `json:"reason,omitempty"`
	Attempt    uint64     `json:"attempt,omitempty"` // the install that is under way
	Phase      string     `json:"phase,omitempty"`   // where this member is in it
	Drift      int        `json:"drift,omitempty"`   // differences between the kernel and what is in force
	BootFilter bool       `json:"boot_filter,omitempty"`
}

// policyFile gives a policy as the file that it is.
func (s *Server) policyFile(w http.ResponseWriter, r *http.Request) {
	text := r.URL.Query().Get("generation")
	generation, err := strconv.ParseUint(text, 10, 64)
	if err != nil || generation == 0 {
		s.fail(w, Invalid("generation="+strconv.Quote(text)+" is not a generation", "use one of GET /v1/policy/history"))
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), requestTimeout)
	defer cancel()
	file, err := s.Backend.PolicyFile(ctx, generation)
	if err != nil {
		s.fail(w, err)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Length", strconv.Itoa(len(file)))
	w.Header().Set("Holdfast-Version", s.Version)
	if _, err := w.Write(file); err != nil && s.Log != nil {
		s.Log.Debug("control answer", "error", err)
	}
}

// policyLoad takes a policy as the file that it is.
func (s *Server) policyLoad(w http.ResponseWriter, r *http.Request) {
	file, err := io.ReadAll(http.MaxBytesReader(w, r.Body, MaxPolicyFile))
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		s.fail(w, Invalid("a policy of more than "+strconv.Itoa(MaxPolicyFile)+" bytes", "no policy is that long: look at the file"))
		return
	case err != nil:
		s.fail(w, Invalid("the body of the request: "+err.Error(), "send the policy file as it is"))
		return
	case len(file) == 0:
		s.fail(w, Invalid("no policy in the body of the request", "send the policy file as it is"))
		return
	}
	answer(s, w, r, func(ctx context.Context) (Result, error) { return s.Backend.PolicyLoad(ctx, file) })
}

// Policy implements Backend.
func (c *Client) Policy(ctx context.Context) (v Policy, err error) {
	return v, c.get(ctx, "policy", &v)
}

// PolicyHistory implements Backend.
func (c *Client) PolicyHistory(ctx context.Context) (v PolicyHistory, err error) {
	return v, c.get(ctx, "policy/history", &v)
}

// PolicyFile implements Backend.
func (c *Client) PolicyFile(ctx context.Context, generation uint64) ([]byte, error) {
	q := url.Values{"generation": {strconv.FormatUint(generation, 10)}}
	resp, err := c.do(ctx, http.MethodGet, "policy/file?"+q.Encode(), nil)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	return io.ReadAll(io.LimitReader(resp.Body, MaxPolicyFile))
}

// PolicyFetch implements Backend.
func (c *Client) PolicyFetch(ctx context.Context) (v Result, err error) {
	return v, c.post(ctx, "policy/fetch", nil, &v)
}

// PolicyUnload implements Backend.
func (c *Client) PolicyUnload(ctx context.Context) (v Result, err error) {
	return v, c.post(ctx, "policy/unload", nil, &v)
}

// PolicyResume implements Backend.
func (c *Client) PolicyResume(ctx context.Context) (v Result, err error) {
	return v, c.post(ctx, "policy/resume", nil, &v)
}

// PolicyLoad implements Backend.
func (c *Client) PolicyLoad(ctx context.Context, file []byte) (v Result, err error) {
	return v, c.call(ctx, http.MethodPost, "policy/load", file, &v)
}
