// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/holdfast-project/holdfast/internal/usage"
	"github.com/holdfast-project/holdfast/policy"
	"github.com/holdfast-project/holdfast/policy/ruleset"
)

// packing is a bundle that is being made, and what the command line says of it.
type packing struct {
	policy.Bundle
	key, created, connections string
	sync, keep                []string
}

// read puts a ruleset into the bundle, and what was given as text.
func (k *packing) read(file string, now time.Time) error {
	text, err := readBounded(file, policy.MaxRuleset)
	if err != nil {
		return err
	}
	k.File, k.Ruleset, k.Created = filepath.Base(file), string(text), now.Unix()
	if k.created != "" {
		t, err := time.Parse(time.RFC3339, k.created)
		if err != nil {
			return usage.New(fmt.Errorf("--created %s: write 2026-03-04T12:00:00Z", k.created))
		}
		k.Created = t.Unix()
	}
	if k.Connections, err = policy.ParseConnections(k.connections); err != nil {
		return usage.New(err)
	}
	if k.Sync, err = parseEach(k.sync, policy.ParseSyncRule); err != nil {
		return usage.New(err)
	}
	if k.Keep, err = parseEach(k.keep, policy.ParseSet); err != nil {
		return usage.New(err)
	}
	return nil
}

func parseEach[T any](texts []string, parse func(string) (T, error)) (all []T, err error) {
	for _, text := range texts {
		one, err := parse(text)
		if err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	return all, nil
}

// check refuses what no member could put into force.
func (k *packing) check() error {
	r, err := ruleset.Parse(k.File, k.Ruleset)
	if err != nil {
		return err
	}
	for _, s := range k.Keep {
		if !r.Has(s.Family, s.Table, s.Name) {
			return fmt.Errorf("--keep %v: %s has no such set", s, k.File)
		}
	}
	return checkServices(k.File, k.Sync)
}

// seal signs it with the private key in its file.
func (k *packing) seal() (*policy.Sealed, error) {
	pem, err := readBounded(k.key, 64<<10)
	if err != nil {
		return nil, err
	}
	key, err := policy.ParsePrivateKey(pem)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", k.key, err)
	}
	return policy.Seal(&k.Bundle, key)
}

func (a *app) policyPack() *cobra.Command {
	b := packing{}
	cmd := &cobra.Command{Use: "pack RULESET BUNDLE", Short: "Make a signed policy of a ruleset", Args: arguments(cobra.ExactArgs(2)),
		RunE: func(_ *cobra.Command, args []string) error {
			if err := b.read(args[0], a.now()); err != nil {
				return err
			}
			if err := b.check(); err != nil {
				return err
			}
			sealed, err := b.seal()
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
	f.StringVar(&b.key, "key", "", "private key that signs it (holdfast policy keygen)")
	f.StringVar(&b.Author, "author", "", "who made it")
	f.StringVar(&b.Comment, "comment", "", "why")
	f.StringVar(&b.created, "created", "", "when, as 2026-03-04T12:00:00Z (default now)")
	f.Uint64Var(&b.Origin, "origin", 0, "older generation whose content it has again")
	f.StringArrayVar(&b.sync, "sync", nil, "synchronisation rule, SERVICE=never or SERVICE=3s; repeat it for more")
	f.StringArrayVar(&b.keep, "keep", nil, `set that keeps its elements, "FAMILY TABLE NAME"; repeat it for more`)
	f.StringVar(&b.connections, "connections", "keep", "what becomes of connections that it denies: keep or rematch")
	for _, name := range []string{"cluster", "generation", "key"} {
		_ = cmd.MarkFlagRequired(name)
	}
	return cmd
}
