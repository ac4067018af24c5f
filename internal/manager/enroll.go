// SPDX-License-Identifier: Apache-2.0

package manager

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/holdfast-project/holdfast/management/api"
	"github.com/holdfast-project/holdfast/management/pki"
)

// EnrollOptions say how a member becomes known to management.
type EnrollOptions struct {
	URLs  []string // of management's servers, https; tried in order
	Token string   // one-time, as holdfast-mgmt printed it; it names the authority that the server must have
	Dir   string   // where key and certificates are put, made with mode 0700 if need be
	// Cluster and Member are what the certificate must be for; "": whatever the token says.
	Cluster, Member string
	// Replace allows an identity that is there already to be replaced.
	Replace bool
}

// Enrolment is what came of it.
type Enrolment struct {
	Identity
	URL        string // of the server that answered
	PolicyKeys []byte // PEM of the public keys that sign policies, as management has them
}

// Enroll makes a key, has management certify it, and keeps both. The key never leaves this machine. Nothing is kept if it fails. The token goes to no
// server but one of the authority that it names. Errors are *Error where management, or the way to it, is the reason.
func Enroll(ctx context.Context, o EnrollOptions) (Enrolment, error) {
	grant, err := api.ParseGrant(o.Token)
	if err != nil {
		return Enrolment{}, &Error{Kind: Token, Err: err, WayOut: "ask for another one: holdfast-mgmt member token"}
	}
	if len(o.URLs) == 0 {
		return Enrolment{}, errors.New("enrol: no management server: name its address, https://HOST:PORT")
	}
	switch old, err := ReadIdentity(o.Dir); {
	case err == nil && !o.Replace:
		return Enrolment{}, fmt.Errorf("enrol: %s/%s is enrolled already, with certificate %s: have it replaced, if that is wanted", old.Cluster, old.Member, old.Serial)
	case err != nil && !errors.Is(err, fs.ErrNotExist) && !o.Replace:
		return Enrolment{}, fmt.Errorf("enrol: %w, and have it replaced", err)
	}
	key, request, err := pki.NewRequest(rand.Reader)
	if err != nil {
		return Enrolment{}, fmt.Errorf("enrol: %w", err)
	}
	q := api.EnrollRequest{Token: grant.Token, CSR: string(request), Kind: api.EnrollMember}
	if o.Cluster != "" && o.Member != "" {
		q.For = o.Cluster + "/" + o.Member
	}
	right := func(der []byte) bool { return api.Fingerprint(der) == grant.Fingerprint }
	c := &client{http: newHTTP(pki.PinnedTLS(right, time.Now))}
	defer c.close()
	var all []error
	for _, url := range o.URLs {
		var answer api.Enrolment
		err := c.post(ctx, url, "/v1/enroll", q, &answer)
		if err != nil {
			e := classify(url, err, time.Now())
			if all = append(all, e); e.Kind != Unreachable {
				break // another server would say the same, and a token is used once
			}
			continue
		}
		creds, err := o.accept(key, answer, grant.Fingerprint)
		if err != nil {
			return Enrolment{}, fmt.Errorf("enrol: %s: %w", url, err)
		}
		return Enrolment{Identity: creds.Identity, URL: url, PolicyKeys: []byte(answer.PolicyKeys)}, nil
	}
	return Enrolment{}, errors.Join(all...)
}

// accept checks what management answered, and keeps it.
func (o EnrollOptions) accept(key []byte, answer api.Enrolment, fingerprint string) (*credentials, error) {
	creds, err := join(key, answer.Certificate, answer.CA)
	if err != nil {
		return nil, fmt.Errorf("what it answers cannot be used: %w", err)
	}
	ca, err := pki.ParseCertificate(creds.authority)
	if err != nil || api.Fingerprint(ca.Raw) != fingerprint {
		return nil, errors.New("its authority is not the one that the token names")
	}
	if err := creds.certificate.Leaf.CheckSignatureFrom(ca); err != nil {
		return nil, fmt.Errorf("its certificate is not by its authority: %w", err)
	}
	if o.Cluster != "" && o.Cluster != creds.Cluster || o.Member != "" && o.Member != creds.Member {
		return nil, fmt.Errorf("the token is for member %s of cluster %s, and this is %s of %s: ask for another one", creds.Member, creds.Cluster, o.Member, o.Cluster)
	}
	return creds, creds.save(o.Dir)
}
