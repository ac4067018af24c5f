// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/holdfast-project/holdfast/internal/config"
	"github.com/holdfast-project/holdfast/internal/control"
	"github.com/holdfast-project/holdfast/internal/manager"
	"github.com/holdfast-project/holdfast/management/api"
)

// enrolled is the answer of enroll as JSON.
type enrolled struct {
	control.Result
	Cluster     string    `json:"cluster"`
	Member      string    `json:"member"`
	URL         string    `json:"url"`
	Certificate string    `json:"certificate"` // its serial number
	NotAfter    time.Time `json:"not_after"`
}

func (a *app) enrollCommand() *cobra.Command {
	file, member := "", ""
	var urls []string
	replace := false
	cmd := &cobra.Command{
		Use: "enroll TOKEN", Short: "Make this member known to management by a one-time token; -: read it from the standard input",
		Long: "Makes a key on this machine, has management certify it, and puts both below state-dir. A running daemon finds them by itself.\n" +
			"Where the file policy.keys is missing, management's public keys are written to it.",
		Args: arguments(cobra.ExactArgs(1)), ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := loadConfig(file, true)
			if err != nil {
				return err
			}
			if c.Policy == nil {
				return fmt.Errorf("%s has no section policy; add one, as deploy/cluster.yaml shows", file)
			}
			local, err := c.For(member)
			if err != nil {
				return err
			}
			o := manager.EnrollOptions{URLs: c.Policy.Management, Token: args[0], Dir: filepath.Join(local.StateDir, "management"), Cluster: c.Name, Member: member, Replace: replace}
			if len(urls) > 0 {
				o.URLs = urls
			}
			if len(o.URLs) == 0 {
				return fmt.Errorf("%s names no management server; add policy.management, or give --url", file)
			}
			if args[0] == "-" {
				if o.Token, err = api.ReadGrant(a.in); err != nil {
					return err
				}
			}
			e, err := manager.Enroll(cmd.Context(), o)
			if err != nil {
				return err
			}
			v := enrolled{Cluster: e.Cluster, Member: e.Member, URL: e.URL, Certificate: e.Serial, NotAfter: e.NotAfter}
			v.Done = fmt.Sprintf("%s of %s is known to %s, with certificate %s until %s; it is renewed by itself", e.Member, e.Cluster, e.URL, e.Serial, e.NotAfter.In(a.zone).Format("2006-01-02"))
			if v.Details, err = keepPolicyKeys(c, file, e.PolicyKeys); err != nil {
				return err
			}
			return a.print(v, func(p *page) {
				p.line("%s", v.Done)
				for _, d := range v.Details {
					p.line("  %s", d)
				}
			})
		},
	}
	host, _ := os.Hostname()
	if name := a.getenv("HOLDFAST_MEMBER"); name != "" {
		host = name
	}
	f := cmd.Flags()
	f.StringVar(&file, "config", "/etc/holdfast/cluster.yaml", "cluster.yaml of this member")
	f.StringVar(&member, "member", host, "its name (environment: HOLDFAST_MEMBER; default this host's)")
	f.StringArrayVar(&urls, "url", nil, "management server, https://HOST:PORT (default policy.management); repeat it for more")
	f.BoolVar(&replace, "replace", false, "also if this member is enrolled already")
	return cmd
}

// keepPolicyKeys writes management's public keys where the configuration wants them, unless there are some, and says what was done.
func keepPolicyKeys(c *config.Cluster, file string, keys []byte) ([]string, error) {
	path := c.Policy.KeysFile
	if !filepath.IsAbs(path) {
		path = filepath.Join(filepath.Dir(file), path)
	}
	switch have, err := os.ReadFile(path); {
	case len(keys) == 0:
		return nil, nil
	case errors.Is(err, fs.ErrNotExist):
		return []string{"wrote management's public keys to " + path}, writeNew(path, keys, 0o644)
	case err != nil:
		return nil, err
	case !bytes.Equal(bytes.TrimSpace(have), bytes.TrimSpace(keys)):
		return []string{path + " has other keys than management: it stays as it is"}, nil
	}
	return nil, nil
}
