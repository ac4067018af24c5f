// SPDX-License-Identifier: Apache-2.0

package config

import (
	"errors"
	"io/fs"
	"net/netip"
	"net/url"
	"path/filepath"
	"slices"
	"strings"

	"github.com/holdfast-project/holdfast/internal/regularfile"
	"github.com/holdfast-project/holdfast/policy"
)

// policy reads the section of policies. Without it rulesets are the operator's own business.
func (b *builder) policy() {
	r := b.raw.Policy
	if r.Line == 0 {
		return
	}
	p := &Policy{KeysFile: defaultPolicyKeys, Enforce: b.flag(r.Enforce, false)}
	switch s := r.Keys; {
	case !s.set:
	case s.text == "" || strings.ContainsRune(s.text, 0):
		b.add(s, "name the file of management's public keys", "not a path")
	default:
		p.KeysFile = s.text
	}
	p.Management = b.managementURLs(r.Management)
	p.SSHFrom = b.sshFrom(r.SSHFrom)
	b.c.Policy = p
}

// managementURLs reads the addresses of management servers.
func (b *builder) managementURLs(raw []scalar) []string {
	if len(raw) > maxManagement {
		b.at(b.raw.Policy.Line, "policy.management", "name those that serve this cluster", "%d servers, more than %d", len(raw), maxManagement)
		return nil
	}
	var all []string
	for _, s := range raw {
		if !s.set {
			continue
		}
		u, err := url.Parse(s.text)
		switch {
		case err != nil || u.Scheme != "https" || u.Hostname() == "":
			b.add(s, "write https://mgmt.example.net:8443", "not a URL of https with a host")
		case u.User != nil || u.RawQuery != "" || u.Fragment != "" || strings.Trim(u.Path, "/") != "":
			b.add(s, "write https://HOST:PORT alone", "more than a host and a port")
		case slices.Contains(all, "https://"+u.Host):
			b.add(s, "keep one of them", "given twice")
		default:
			all = append(all, "https://"+u.Host)
		}
	}
	return all
}

// sshFrom reads networks.
func (b *builder) sshFrom(raw []scalar) []netip.Prefix {
	if len(raw) > maxSSHFrom {
		b.at(b.raw.Policy.Line, "policy.ssh-from", "join networks", "%d networks, more than %d", len(raw), maxSSHFrom)
		return nil
	}
	var all []netip.Prefix
	for _, s := range raw {
		if p, ok := b.network(s); ok {
			all = append(all, p)
		}
	}
	slices.SortFunc(all, func(a, b netip.Prefix) int {
		return strings.Compare(a.String(), b.String())
	})
	return slices.Compact(all)
}

// loadPolicyKeys reads the file of public keys, and adds what is wrong with it to the problems of the file that names it.
func (b *builder) loadPolicyKeys() {
	p := b.c.Policy
	if p == nil {
		return
	}
	if !filepath.IsAbs(p.KeysFile) {
		p.KeysFile = filepath.Join(filepath.Dir(b.c.Path), p.KeysFile)
	}
	s := orAt(b.raw.Policy.Keys, b.raw.Policy.Line, "policy.keys")
	s.text = p.KeysFile
	text, err := regularfile.Read(p.KeysFile, maxPolicyKeyFile)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		b.add(s, `copy management's public key there, keys/policy.pub of its data: "holdfast enroll" does it, "holdfast policy keygen" makes one`, "no such file")
		return
	case err != nil:
		b.add(s, "name a file that the daemon may read", "%v", err)
		return
	}
	if p.Keys, err = policy.ParsePublicKeys(text); err != nil {
		b.add(s, "it holds Ed25519 public keys in PEM, as holdfast policy keygen writes them", "%v", err)
	}
}
