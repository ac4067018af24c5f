// SPDX-License-Identifier: Apache-2.0

package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"github.com/holdfast-project/holdfast/internal/atomicfile"
	"github.com/holdfast-project/holdfast/internal/config"
	"github.com/holdfast-project/holdfast/internal/control"
	"github.com/holdfast-project/holdfast/internal/defines"
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

// writeNew makes a file that must not be there yet, whole or not at all.
func writeNew(path string, content []byte, mode fs.FileMode) error {
	err := atomicfile.CreateFrom(path, mode, func(w io.Writer) error {
		_, err := w.Write(content)
		return err
	})
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s is there already; choose another name, or remove it first", path)
	}
	return err
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
