// SPDX-License-Identifier: Apache-2.0

package main

import (
	"crypto/ed25519"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/holdfast-project/holdfast/policy"
	"github.com/holdfast-project/holdfast/policy/ruleset"
)

// publicKeys reads the keys of all files.
func publicKeys(files []string) (keys []ed25519.PublicKey, err error) {
	for _, path := range files {
		pem, err := readBounded(path, 64<<10)
		if err != nil {
			return nil, err
		}
		some, err := policy.ParsePublicKeys(pem)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		keys = append(keys, some...)
	}
	return keys, nil
}

// judge says what there is to warn of in a policy, for a cluster if one is known. It is not OK if a member could not load it.
func (a *app) judge(file string, sealed *policy.Sealed, c *ruleset.Cluster) (v verified, err error) {
	b := sealed.Bundle()
	r, err := ruleset.Parse(b.File, b.Ruleset)
	if err != nil {
		return v, err
	}
	if err := checkServices(file, b.Sync); err != nil {
		return v, err
	}
	v.policyTold, v.OK = told(file, sealed), true
	if d := time.Unix(v.created, 0).Sub(a.now()); d > time.Hour {
		v.Warnings = append(v.Warnings, fmt.Sprintf("made %v in the future: the clock here or that of management is wrong", d.Round(time.Minute)))
	}
	for _, w := range r.Lint(c) {
		v.Warnings = append(v.Warnings, w.String())
		v.OK = v.OK && !w.Fatal
	}
	return v, nil
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
			keys, err := publicKeys(keyFiles)
			if err != nil {
				return err
			}
			b, err := readBounded(args[0], policy.MaxFile)
			if err != nil {
				return err
			}
			sealed, err := policy.Open(b, policy.Trust{Cluster: cluster, Keys: keys, Floor: floor})
			if err != nil {
				return fmt.Errorf("%s: %w", args[0], err)
			}
			v, err := a.judge(args[0], sealed, c)
			if err != nil {
				return err
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
