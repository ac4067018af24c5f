// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/holdfast-project/holdfast/internal/atomicfile"
	"github.com/holdfast-project/holdfast/internal/usage"
	"github.com/holdfast-project/holdfast/management/api"
	"github.com/holdfast-project/holdfast/management/pki"
)

// Files of a profile. They are what curl takes, too.
const (
	caFile          = "ca.pem"
	certificateFile = "certificate.pem"
	keyFile         = "key.pem"
	tokenFile       = "token"
	serverFile      = "server" // URLs, one a line
)

// writeProfile makes the directory, for its owner only, and its files.
func writeProfile(dir string, servers []string, key []byte, e api.Enrolment) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	for _, f := range []struct {
		name string
		text string
	}{{keyFile, string(key)}, {caFile, e.CA}, {tokenFile, e.Token + "\n"}, {serverFile, strings.Join(servers, "\n") + "\n"}, {certificateFile, e.Certificate}} {
		if err := atomicfile.Write(filepath.Join(dir, f.name), []byte(f.text), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// client talks to the servers as the profile's person.
func (a *app) client() (*api.Client, error) {
	read := func(name string) ([]byte, error) { return readBounded(filepath.Join(a.profile, name), 64<<10) }
	ca, err := read(caFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("there is no profile at %s; name one with --profile, or make it with \"holdfast-mgmt login\"", a.profile)
	}
	if err != nil {
		return nil, err
	}
	certificate, err := read(certificateFile)
	if err != nil {
		return nil, err
	}
	key, err := read(keyFile)
	if err != nil {
		return nil, err
	}
	token, err := read(tokenFile)
	if err != nil {
		return nil, err
	}
	own, err := tls.X509KeyPair(certificate, key)
	if err != nil {
		return nil, fmt.Errorf("profile %s: %w", a.profile, err)
	}
	conf, err := pki.ClientTLS(ca, &own)
	if err != nil {
		return nil, fmt.Errorf("profile %s: %w", a.profile, err)
	}
	servers := a.servers
	if servers == nil {
		text, err := read(serverFile)
		if err != nil {
			return nil, err
		}
		servers = strings.Fields(string(text))
	}
	return api.NewClient(servers, conf, strings.TrimSpace(string(token))), nil
}

func (a *app) loginCommand() *cobra.Command {
	token := ""
	cmd := &cobra.Command{Use: "login", Short: "Make a profile of the one-time token that an administrator gave you", Args: arguments(cobra.NoArgs),
		Long: "login makes a key here, has the server certify it, and keeps both in the profile. The token names the server's authority: it is shown to no other.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if a.servers == nil {
				return usage.New(errors.New("login needs --server https://HOST:9443"))
			}
			if _, err := os.Stat(filepath.Join(a.profile, keyFile)); err == nil {
				return fmt.Errorf("there is a profile at %s already; choose another place with --profile, or remove it first", a.profile)
			}
			if token == "-" {
				var err error
				if token, err = api.ReadGrant(a.in); err != nil {
					return err
				}
			}
			e, err := a.enroll(cmd.Context(), token)
			if err != nil {
				return err
			}
			return a.done("you are %s, %s, until %s; profile %s", e.User, e.Role, e.NotAfter.In(a.zone).Format("2006-01-02"), a.profile)
		}}
	cmd.Flags().StringVar(&token, "token", "", "the token; - reads it from the standard input, where no list of processes shows it")
	_ = cmd.MarkFlagRequired("token")
	return cmd
}

func (a *app) enroll(ctx context.Context, text string) (api.Enrolment, error) {
	var e api.Enrolment
	g, err := api.ParseGrant(text)
	if err != nil {
		return e, err
	}
	key, csr, err := pki.NewRequest(rand.Reader)
	if err != nil {
		return e, err
	}
	matches := func(der []byte) bool { return api.Fingerprint(der) == g.Fingerprint }
	c := api.NewClient(a.servers, pki.PinnedTLS(matches, a.now), "")
	defer c.Close()
	if err := c.Call(ctx, "POST", "/v1/enroll", api.EnrollRequest{Token: g.Token, CSR: string(csr), Kind: api.EnrollPerson}, &e); err != nil {
		return e, err
	}
	if e.User == "" {
		return e, fmt.Errorf("the server answers with the certificate of member %s of %s, which was not asked for", e.Member, e.Cluster)
	}
	return e, writeProfile(a.profile, a.servers, key, e)
}

func (a *app) renewCommand() *cobra.Command {
	return &cobra.Command{Use: "renew", Short: "Get another certificate and token for yourself, before yours end", Args: arguments(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			defer c.Close()
			key, csr, err := pki.NewRequest(rand.Reader)
			if err != nil {
				return err
			}
			var e api.Enrolment
			if err := c.Call(cmd.Context(), "POST", "/v1/renew", api.RenewRequest{CSR: string(csr)}, &e); err != nil {
				return err
			}
			servers := a.servers
			if servers == nil {
				text, err := readBounded(filepath.Join(a.profile, serverFile), 64<<10)
				if err != nil {
					return err
				}
				servers = strings.Fields(string(text))
			}
			if err := writeProfile(a.profile, servers, key, e); err != nil {
				return err
			}
			return a.done("you are %s, %s, until %s", e.User, e.Role, e.NotAfter.In(a.zone).Format("2006-01-02"))
		}}
}
