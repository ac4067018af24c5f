// SPDX-License-Identifier: Apache-2.0

package main

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/holdfast-project/holdfast/internal/config"
	"github.com/holdfast-project/holdfast/internal/control"
	"github.com/holdfast-project/holdfast/internal/defines"
	"github.com/holdfast-project/holdfast/internal/usage"
)

func (a *app) keyCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "key", Short: "Make and change cluster key files", Args: arguments(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() }}
	cmd.AddCommand(
		a.keyFile("generate", "Make a new key file, readable by its owner only", keyGenerate),
		a.keyFile("next", "Add a successor to the key; copy the file to all members and reload each", keyNext),
		a.keyFile("retire", "Remove the old key once all members use its successor", keyRetire),
	)
	return cmd
}

func (a *app) keyFile(use, short string, do func(path string) (string, error)) *cobra.Command {
	return &cobra.Command{Use: use + " FILE", Short: short, Args: arguments(cobra.ExactArgs(1)),
		RunE: func(_ *cobra.Command, args []string) error {
			done, err := do(args[0])
			if err != nil {
				return err
			}
			r := control.Result{Done: done}
			return a.print(r, func(p *page) { p.line("%s", r.Done) })
		}}
}

func keyGenerate(path string) (string, error) {
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("%s is there already; add a successor with: holdfast key next %s", path, path)
	}
	k, err := config.GenerateKey(1, rand.Reader)
	if err != nil {
		return "", err
	}
	return "wrote key 1 to " + path + "; copy it to all members, mode 0600", config.WriteKeys(path, []config.Key{k})
}

func keyNext(path string) (string, error) {
	keys, err := config.LoadKey(path)
	if err != nil {
		return "", err
	}
	if len(keys) > 1 {
		return "", fmt.Errorf("%s: key %d has a successor already; finish with: holdfast key retire %s", path, keys[0].Number, path)
	}
	k, err := config.GenerateKey(config.NextKeyNumber(keys[0].Number), rand.Reader)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("added key %d to %s; copy it to all members and reload each: holdfast reload", k.Number, path),
		config.WriteKeys(path, append(keys, k))
}

func keyRetire(path string) (string, error) {
	keys, err := config.LoadKey(path)
	if err != nil {
		return "", err
	}
	if len(keys) < 2 {
		return "", fmt.Errorf("%s: key %d has no successor; add one with: holdfast key next %s", path, keys[0].Number, path)
	}
	return fmt.Sprintf("removed key %d from %s; copy it to all members and reload each: holdfast reload", keys[0].Number, path),
		config.WriteKeys(path, keys[1:])
}

func (a *app) configCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "config", Short: "Check and compare cluster.yaml files", Args: arguments(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() }}
	cmd.AddCommand(a.configCheck(), a.configDiff(), a.configDefines())
	return cmd
}

// checked is the answer of config check as JSON.
type checked struct {
	File     string   `json:"file"`
	OK       bool     `json:"ok"`
	Digest   string   `json:"digest,omitempty"`
	Members  int      `json:"members,omitempty"`
	VIPs     int      `json:"vips,omitempty"`
	Problems []string `json:"problems,omitempty"`
	Warnings []string `json:"warnings,omitempty"`
}

func (a *app) configCheck() *cobra.Command {
	noKey := false
	cmd := &cobra.Command{Use: "check FILE", Short: "Check a file and tell every problem in it", Args: arguments(cobra.ExactArgs(1)),
		RunE: func(_ *cobra.Command, args []string) error {
			c, err := loadConfig(args[0], noKey)
			v := checked{File: args[0], OK: err == nil}
			if err != nil {
				problems := config.Problems(err)
				if problems == nil {
					return err
				}
				for _, p := range problems {
					v.Problems = append(v.Problems, p.Error())
				}
			} else {
				digest := c.Digest()
				v.Digest, v.Members = hex.EncodeToString(digest[:8]), len(c.Members)
				for _, i := range c.Interfaces {
					v.VIPs += len(i.VIPs)
				}
				v.Warnings = append(c.Hidden(""), c.Doubts()...)
			}
			if err := a.print(v, func(p *page) { drawChecked(p, v) }); err != nil {
				return err
			}
			if !v.OK {
				return errReported
			}
			return nil
		}}
	cmd.Flags().BoolVar(&noKey, "no-key", false, "do not look at the key file, which is on the members only")
	return cmd
}

func loadConfig(path string, noKey bool) (*config.Cluster, error) {
	if !noKey {
		return config.Load(path)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return config.Parse(path, data)
}

func drawChecked(p *page, v checked) {
	for _, problem := range v.Problems {
		p.line("%s", problem)
	}
	for _, w := range v.Warnings {
		p.line("warning: %s", w)
	}
	switch {
	case v.OK:
		p.line("%s is well: %d members, %d virtual addresses, digest %s", v.File, v.Members, v.VIPs, v.Digest)
	case len(v.Problems) == 1:
		p.line("1 problem")
	default:
		p.line("%d problems", len(v.Problems))
	}
}

func (a *app) configDiff() *cobra.Command {
	return &cobra.Command{Use: "diff OLD NEW", Short: "Tell what a reload from one file to the other would do, and what it cannot", Args: arguments(cobra.ExactArgs(2)),
		RunE: func(_ *cobra.Command, args []string) error {
			var files [2]*config.Cluster
			for i, path := range args {
				var err error
				if files[i], err = loadConfig(path, true); err != nil {
					return err
				}
			}
			live, refused := config.Diff(files[0], files[1])
			r := control.ReloadResult{Applied: changes(live), Refused: changes(refused)}
			return a.print(r, func(p *page) {
				if len(r.Applied)+len(r.Refused) == 0 {
					p.line("Nothing differs.")
				}
				if len(r.Applied) > 0 {
					p.line("holdfast reload brings into force:")
					drawChanges(p, r.Applied)
				}
				if len(r.Refused) > 0 {
					p.line("Not live, so that holdfast reload would apply nothing at all:")
					drawChanges(p, r.Refused)
				}
			})
		}}
}

func (a *app) configDefines() *cobra.Command {
	member, write := "", false
	cmd := &cobra.Command{Use: "defines FILE", Short: "Print the definitions for rulesets of a member that shares the load, or write them",
		Long: "Prints what a member's nftables rulesets include in mode load-sharing. With --write it goes where the member itself would\n" +
			"write it, for rulesets that are loaded before the daemon starts.",
		Args: arguments(cobra.ExactArgs(1)),
		RunE: func(_ *cobra.Command, args []string) error {
			c, err := loadConfig(args[0], true)
			if err != nil {
				return err
			}
			if member == "" {
				return usage.New(errors.New("whose definitions? Name the member with --member"))
			}
			l, err := c.For(member)
			if err != nil {
				return err
			}
			v := control.LoadDefines{Member: member, Path: defines.Path(c.Name, member), Text: defines.Text(c, l.Self)}
			if v.Text == "" {
				return fmt.Errorf("%s: mode %s has no definitions; they are of mode load-sharing", args[0], c.Mode)
			}
			if !write {
				return a.print(v, func(p *page) { p.line("%s", strings.TrimSuffix(v.Text, "\n")) })
			}
			if _, err := defines.Write(v.Path, v.Text); err != nil {
				return err
			}
			r := control.Result{Done: "wrote " + v.Path}
			return a.print(r, func(p *page) { p.line("%s", r.Done) })
		}}
	cmd.Flags().StringVar(&member, "member", a.getenv("HOLDFAST_MEMBER"), "name of the member (environment: HOLDFAST_MEMBER)")
	cmd.Flags().BoolVar(&write, "write", false, "write the file instead of printing it")
	return cmd
}

func changes(all []config.Change) []control.Change {
	out := make([]control.Change, len(all))
	for i, c := range all {
		out[i] = control.Change(c)
	}
	return out
}
