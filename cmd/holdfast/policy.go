// SPDX-License-Identifier: Apache-2.0

package main

import (
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/holdfast-project/holdfast/internal/config"
	"github.com/holdfast-project/holdfast/internal/control"
	"github.com/holdfast-project/holdfast/internal/defines"
	"github.com/holdfast-project/holdfast/internal/usage"
	"github.com/holdfast-project/holdfast/policy"
	"github.com/holdfast-project/holdfast/policy/ruleset"
)

func (a *app) policyCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "policy", Short: "Policies: what is in force, and files to make, look at and check", Args: arguments(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() }}
	cmd.AddCommand(a.policyKeygen(), a.policyPack(), a.policyInspect(), a.policyVerify(), a.policyDiff(), a.policyDefines(), a.policyCheck())
	cmd.AddCommand(a.onlineCommands()...)
	return cmd
}

func (a *app) policyKeygen() *cobra.Command {
	return &cobra.Command{Use: "keygen FILE", Short: "Make a key that signs policies: FILE for management, FILE.pub for the members", Args: arguments(cobra.ExactArgs(1)),
		RunE: func(_ *cobra.Command, args []string) error {
			private, public, err := policy.GenerateKey(rand.Reader)
			if err != nil {
				return err
			}
			if err := writeNew(args[0], private, 0o600); err != nil {
				return err
			}
			if err := writeNew(args[0]+".pub", public, 0o644); err != nil {
				return err
			}
			keys, err := policy.ParsePublicKeys(public)
			if err != nil {
				return err
			}
			r := control.Result{Done: "wrote key " + policy.Fingerprint(keys[0]) + " to " + args[0] + " and its public half to " + args[0] + ".pub; copy that to all members"}
			return a.print(r, func(p *page) { p.line("%s", r.Done) })
		}}
}

// writeNew makes a file that must not be there yet.
func writeNew(path string, content []byte, mode fs.FileMode) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s is there already; choose another name, or remove it first", path)
	}
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	return errors.Join(err, f.Close())
}

func (a *app) policyPack() *cobra.Command {
	b := policy.Bundle{}
	var keyFile, created, connections string
	var sync, keep []string
	cmd := &cobra.Command{Use: "pack RULESET BUNDLE", Short: "Make a signed policy of a ruleset", Args: arguments(cobra.ExactArgs(2)),
		RunE: func(_ *cobra.Command, args []string) error {
			text, err := readBounded(args[0], policy.MaxRuleset)
			if err != nil {
				return err
			}
			b.File, b.Ruleset, b.Created = filepath.Base(args[0]), string(text), a.now().Unix()
			if created != "" {
				t, err := time.Parse(time.RFC3339, created)
				if err != nil {
					return usage.New(fmt.Errorf("--created %s: write 2026-03-04T12:00:00Z", created))
				}
				b.Created = t.Unix()
			}
			if b.Connections, err = policy.ParseConnections(connections); err != nil {
				return usage.New(err)
			}
			for _, s := range sync {
				r, err := policy.ParseSyncRule(s)
				if err != nil {
					return usage.New(err)
				}
				b.Sync = append(b.Sync, r)
			}
			for _, s := range keep {
				r, err := policy.ParseSet(s)
				if err != nil {
					return usage.New(err)
				}
				b.Keep = append(b.Keep, r)
			}
			r, err := ruleset.Parse(b.File, b.Ruleset)
			if err != nil {
				return err
			}
			for _, s := range b.Keep {
				if !r.Has(s.Family, s.Table, s.Name) {
					return fmt.Errorf("--keep %v: %s has no such set", s, b.File)
				}
			}
			if err := checkServices(b.File, b.Sync); err != nil {
				return err
			}
			pem, err := readBounded(keyFile, 64<<10)
			if err != nil {
				return err
			}
			key, err := policy.ParsePrivateKey(pem)
			if err != nil {
				return fmt.Errorf("%s: %w", keyFile, err)
			}
			sealed, err := policy.Seal(&b, key)
			if err != nil {
				return err
			}
			if err := writeNew(args[1], sealed.Encode(), 0o644); err != nil {
				return err
			}
			v := told(args[1], sealed)
			return a.print(v, func(p *page) {
				p.line("wrote generation %d of cluster %d to %s, digest %s", v.Generation, v.Cluster, v.File, v.Digest[:16])
			})
		}}
	f := cmd.Flags()
	f.Uint16Var(&b.Cluster, "cluster", 0, "id of the cluster that it is for")
	f.Uint64Var(&b.Generation, "generation", 0, "its number, greater than all before")
	f.StringVar(&keyFile, "key", "", "private key that signs it (holdfast policy keygen)")
	f.StringVar(&b.Author, "author", "", "who made it")
	f.StringVar(&b.Comment, "comment", "", "why")
	f.StringVar(&created, "created", "", "when, as 2026-03-04T12:00:00Z (default now)")
	f.Uint64Var(&b.Origin, "origin", 0, "older generation whose content it has again")
	f.StringArrayVar(&sync, "sync", nil, "synchronisation rule, SERVICE=never or SERVICE=3s; repeat it for more")
	f.StringArrayVar(&keep, "keep", nil, `set that keeps its elements, "FAMILY TABLE NAME"; repeat it for more`)
	f.StringVar(&connections, "connections", "keep", "what becomes of connections that it denies: keep or rematch")
	for _, name := range []string{"cluster", "generation", "key"} {
		_ = cmd.MarkFlagRequired(name)
	}
	return cmd
}

// checkServices finds rules that members would not understand, or that contradict each other.
func checkServices(name string, rules []policy.SyncRule) error {
	all := make(map[string]string, len(rules))
	for _, r := range rules {
		all[r.Service] = r.After.String()
		if r.Never {
			all[r.Service] = "never"
		}
	}
	_, err := config.SyncServices(name, all)
	return err
}

func readBounded(path string, most int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, most+1))
	if err == nil && int64(len(b)) > most {
		err = fmt.Errorf("%s: more than %d bytes", path, most)
	}
	return b, err
}

func readPolicy(path string) (*policy.Sealed, error) {
	b, err := readBounded(path, policy.MaxFile)
	if err != nil {
		return nil, err
	}
	s, err := policy.Decode(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return s, nil
}

func (a *app) policyInspect() *cobra.Command {
	text := false
	cmd := &cobra.Command{Use: "inspect BUNDLE", Short: "Tell what a policy file says of itself; its signature is not checked", Args: arguments(cobra.ExactArgs(1)),
		RunE: func(_ *cobra.Command, args []string) error {
			s, err := readPolicy(args[0])
			if err != nil {
				return err
			}
			if text {
				_, err := io.WriteString(a.out, s.Bundle().Ruleset)
				return err
			}
			v := told(args[0], s)
			return a.print(v, func(p *page) { drawPolicy(p, v) })
		}}
	cmd.Flags().BoolVar(&text, "ruleset", false, "print the ruleset alone")
	return cmd
}

// policyTarget is the cluster that rulesets are judged for.
type policyTarget struct {
	file   string
	member string
}

func (t *policyTarget) flags(cmd *cobra.Command, required bool) {
	cmd.Flags().StringVar(&t.file, "config", "", "cluster.yaml of the cluster that it is for")
	if required {
		_ = cmd.MarkFlagRequired("config")
	}
}

// load reads cluster.yaml, without the key file, which is on the members only; nil if none was given.
func (t *policyTarget) load() (*ruleset.Cluster, error) {
	if t.file == "" {
		return nil, nil
	}
	data, err := os.ReadFile(t.file)
	if err != nil {
		return nil, err
	}
	c, err := config.Parse(t.file, data)
	if err != nil {
		return nil, err
	}
	return defines.Cluster(c), nil
}

// members are those that were asked for: one, or all.
func (t *policyTarget) members(c *ruleset.Cluster) ([]int, error) {
	var all []int
	for i := range c.Members {
		if t.member == "" || t.member == c.Members[i].Name {
			all = append(all, i)
		}
	}
	if all == nil {
		return nil, fmt.Errorf("--member %s: %s has no such member", t.member, t.file)
	}
	return all, nil
}

func (a *app) policyVerify() *cobra.Command {
	var keyFiles []string
	var target policyTarget
	var cluster uint16
	var floor uint64
	strict := false
	cmd := &cobra.Command{Use: "verify BUNDLE", Short: "Check signature and content of a policy, and warn of what a cluster does not bear", Args: arguments(cobra.ExactArgs(1)),
		RunE: func(_ *cobra.Command, args []string) error {
			c, err := target.load()
			if err != nil {
				return err
			}
			if c != nil && cluster == 0 {
				cluster = c.ID
			}
			var keys []ed25519.PublicKey
			for _, path := range keyFiles {
				pem, err := readBounded(path, 64<<10)
				if err != nil {
					return err
				}
				some, err := policy.ParsePublicKeys(pem)
				if err != nil {
					return fmt.Errorf("%s: %w", path, err)
				}
				keys = append(keys, some...)
			}
			b, err := readBounded(args[0], policy.MaxFile)
			if err != nil {
				return err
			}
			sealed, err := policy.Open(b, policy.Trust{Cluster: cluster, Keys: keys, Floor: floor})
			if err != nil {
				return fmt.Errorf("%s: %w", args[0], err)
			}
			r, err := ruleset.Parse(sealed.Bundle().File, sealed.Bundle().Ruleset)
			if err != nil {
				return err
			}
			if err := checkServices(args[0], sealed.Bundle().Sync); err != nil {
				return err
			}
			v := verified{policyTold: told(args[0], sealed)}
			v.OK = true
			if d := time.Unix(v.created, 0).Sub(a.now()); d > time.Hour {
				v.Warnings = append(v.Warnings, fmt.Sprintf("made %v in the future: the clock here or that of management is wrong", d.Round(time.Minute)))
			}
			for _, w := range r.Lint(c) {
				v.Warnings = append(v.Warnings, w.String())
				v.OK = v.OK && !w.Fatal
			}
			v.OK = v.OK && !(strict && len(v.Warnings) > 0)
			if err := a.print(v, func(p *page) { drawVerified(p, v) }); err != nil {
				return err
			}
			if !v.OK {
				return errReported
			}
			return nil
		}}
	f := cmd.Flags()
	f.StringArrayVar(&keyFiles, "key", nil, "public keys that are trusted; repeat it for more")
	_ = cmd.MarkFlagRequired("key")
	f.Uint16Var(&cluster, "cluster", 0, "id of the cluster that it must be for (default that of --config, else any)")
	f.Uint64Var(&floor, "floor", 0, "lowest generation that is taken")
	f.BoolVar(&strict, "strict", false, "fail if there are warnings")
	target.flags(cmd, false)
	return cmd
}

func (a *app) policyDefines() *cobra.Command {
	var target policyTarget
	cmd := &cobra.Command{Use: "defines", Short: "Print the definitions that Holdfast supplies to rulesets", Args: arguments(cobra.NoArgs),
		RunE: func(_ *cobra.Command, _ []string) error {
			c, err := target.load()
			if err != nil {
				return err
			}
			which, err := target.members(c)
			if err != nil {
				return err
			}
			v := map[string]map[string]string{}
			for _, i := range which {
				all := map[string]string{}
				for _, d := range c.Definitions(i) {
					all[d.Name] = d.Value
				}
				v[c.Members[i].Name] = all
			}
			return a.print(v, func(p *page) {
				for n, i := range which {
					if n > 0 {
						p.line("")
					}
					p.line("# %s", c.Members[i].Name)
					p.b.WriteString(ruleset.DefinitionsFile(c.Definitions(i)))
				}
			})
		}}
	target.flags(cmd, true)
	cmd.Flags().StringVar(&target.member, "member", "", "of one member only")
	return cmd
}
