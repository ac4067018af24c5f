// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/tls"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-project/holdfast/internal/manager"
	"github.com/holdfast-project/holdfast/management/api"
	"github.com/holdfast-project/holdfast/management/pki"
	"github.com/holdfast-project/holdfast/policy"
)

// member enrols one and returns its way to the server, and the token that it used.
func (h *host) member(name string) (*api.Client, string) {
	h.t.Helper()
	dir, token := filepath.Join(h.dir, name), strings.TrimSpace(h.do("member", "token", name, "--cluster", "edge"))
	if _, err := manager.Enroll(context.Background(), manager.EnrollOptions{URLs: []string{h.url}, Token: token, Dir: dir, Cluster: "edge", Member: name}); err != nil {
		h.t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(dir, "identity.pem"))
	if err != nil {
		h.t.Fatal(err)
	}
	pair, err := tls.X509KeyPair(text, text)
	if err != nil {
		h.t.Fatal(err)
	}
	ca, err := os.ReadFile(filepath.Join(h.dir, "data", keysDir, caFile))
	if err != nil {
		h.t.Fatal(err)
	}
	conf, err := pki.ClientTLS(ca, &pair)
	if err != nil {
		h.t.Fatal(err)
	}
	c := api.NewClient([]string{h.url}, conf, "")
	h.t.Cleanup(c.Close)
	return c, token
}

// TestHostile: what strangers, members and people may not do is refused by a code, changes nothing, and is in the audit log. What comes of hostile
// policies at the members is tested with them (internal/policyplane); management signs what it gives, and takes rulesets only.
func TestHostile(t *testing.T) {
	h := newHost(t)
	h.serve("--unchecked")
	h.do("cluster", "add", h.file("cluster.yaml", clusterYAML))
	gone, used := h.member("gw-a")
	gw, _ := h.member("gw-b")
	h.do("member", "revoke", "gw-a", "--cluster", "edge", "--why", "stolen")
	call := func(c *api.Client, method, path string, in any) api.Code {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		return api.CodeOf(c.Call(ctx, method, path, in, nil))
	}
	install := func(file []byte) func() api.Code {
		return func() api.Code {
			path := h.file("bundle", string(file))
			if code, _, errs := h.holdfast("policy", "install", path, "--cluster", "edge"); code != exitError {
				t.Errorf("installed: %s", errs)
			}
			return api.CodeRuleset
		}
	}
	signer := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{9}, ed25519.SeedSize))
	sealed, err := policy.Seal(&policy.Bundle{Cluster: 7, Generation: 9, Ruleset: rulesetText}, signer)
	if err != nil {
		t.Fatal(err)
	}
	state := func() string {
		return h.do("cluster", "show", "edge", "-o", "json") + h.do("policy", "list", "--cluster", "edge", "-o", "json") + h.do("user", "list", "-o", "json") +
			h.do("certificate", "list", "-o", "json") + h.do("token", "list", "-o", "json")
	}
	const report = "/v1/member/report"
	if code := call(gw, "POST", report, api.Report{Run: "1"}); code != "" {
		t.Fatalf("a report that is right: %s", code)
	}
	before := state()
	for _, c := range []struct {
		name, object string
		want         api.Code
		do           func() api.Code
	}{
		{"a token used again", "POST /v1/enroll", api.CodeTokenUsed, func() api.Code {
			_, err := manager.Enroll(t.Context(), manager.EnrollOptions{URLs: []string{h.url}, Token: used, Dir: filepath.Join(h.dir, "again"), Cluster: "edge", Member: "gw-a"})
			return api.CodeOf(err)
		}},
		{"a revoked certificate", "POST " + report, api.CodeCertificateRevoked, func() api.Code { return call(gone, "POST", report, api.Report{Run: "1"}) }},
		{"a member as a person", "GET /v1/users", api.CodeForbidden, func() api.Code { return call(gw, "GET", "/v1/users", nil) }},
		{"a report without end", "POST " + report, api.CodeTooLarge, func() api.Code { return call(gw, "POST", report, api.Report{Drift: strings.Repeat("x", 1<<20)}) }},
		{"a report that is none", "POST " + report, api.CodeInvalid, func() api.Code { return call(gw, "POST", report, api.Report{State: "\x1b[2J"}) }},
		{"somebody's own bundle", "POST /v1/clusters/edge/installs", api.CodeRuleset, install(sealed.Encode())},
		{"a bomb", "POST /v1/clusters/edge/installs", api.CodeRuleset, install(append([]byte{0x1f, 0x8b, 8}, make([]byte, 1<<20)...))},
	} {
		if got := c.do(); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
		var log []struct {
			Event struct {
				Object string            `json:"object"`
				Detail map[string]string `json:"detail"`
			} `json:"event"`
		}
		text := h.do("audit", "show", "-o", "json")
		if err := json.Unmarshal([]byte(text), &log); err != nil {
			t.Fatal(err)
		}
		there := false
		for _, e := range log {
			there = there || e.Event.Object == c.object && e.Event.Detail["error"] == string(c.want)
		}
		if !there {
			t.Errorf("%s: %s with %s is not in the audit log\n%s", c.name, c.object, c.want, text[max(0, len(text)-1500):])
		}
	}
	if after := state(); after != before {
		t.Errorf("it was\n%s\nand is\n%s", before, after)
	}
	h.do("audit", "verify")
}
