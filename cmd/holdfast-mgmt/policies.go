// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/holdfast-project/holdfast/internal/atomicfile"
	"github.com/holdfast-project/holdfast/internal/usage"
	"github.com/holdfast-project/holdfast/management/api"
	"github.com/holdfast-project/holdfast/policy"
)

func (a *app) policyCommand() *cobra.Command {
	return group("policy", "Policies of a cluster: install, confirm, look, go back", a.policyInstall(), a.policyRollback(), a.policyDecide("confirm",
		"Confirm the policy that was committed and waits for it"), a.policyDecide("cancel", "End the install under way: abort it, or take the policy back"),
		a.policyStatus(), a.policyList(), a.policyShow(), a.policyDiff(), a.policyFetch())
}

// installing is what install and rollback have in common.
type installing struct {
	cluster                      string
	o                            api.InstallOptions
	prepareWithin, confirmWithin time.Duration
}

func (i *installing) flags(cmd *cobra.Command) {
	clusterFlag(cmd, &i.cluster)
	f := cmd.Flags()
	f.BoolVar(&i.o.BestEffort, "best-effort", false, "leave members behind that refuse or do not answer")
	f.StringArrayVar(&i.o.Members, "member", nil, "only on this member; repeat it for more")
	f.DurationVar(&i.prepareWithin, "prepare-within", 0, "how long members have to load it (default 60s)")
	f.DurationVar(&i.confirmWithin, "confirm-within", 0, "take it back unless \"policy confirm\" comes within this time after the commit")
	f.BoolVar(&i.o.CheckOnly, "check-only", false, "check it as each member would have it, and install nothing")
	f.BoolVar(&i.o.Strict, "strict", false, "treat warnings as errors")
}

func (i *installing) options() api.InstallOptions {
	i.o.PrepareWithinMs, i.o.ConfirmWithinMs = i.prepareWithin.Milliseconds(), i.confirmWithin.Milliseconds()
	return i.o
}

func (a *app) policyInstall() *cobra.Command {
	var i installing
	var q api.InstallRequest
	cmd := &cobra.Command{Use: "install FILE", Short: "Install a ruleset of nftables as a new generation, on all members or none", Args: arguments(cobra.ExactArgs(1)),
		Long: "install has the server check FILE as each member would have it, number and sign it, and bring it to all members: they load it (prepare), and when\n" +
			"all have, put it into force (commit). A member that cannot reach its peers or management through it takes it back, and so do all.",
		RunE: func(cmd *cobra.Command, args []string) error {
			text, err := readBounded(args[0], policy.MaxRuleset)
			if err != nil {
				return err
			}
			q.File, q.Ruleset, q.InstallOptions = filepath.Base(args[0]), string(text), i.options()
			return a.install(cmd, at(i.cluster, "installs"), q)
		}}
	i.flags(cmd)
	f := cmd.Flags()
	f.StringVar(&q.Comment, "comment", "", "why")
	f.StringArrayVar(&q.Sync, "sync", nil, "synchronisation rule, SERVICE=never or SERVICE=3s; repeat it for more")
	f.StringArrayVar(&q.Keep, "keep", nil, `set that keeps its elements, "FAMILY TABLE NAME"; repeat it for more`)
	f.StringVar(&q.Connections, "connections", "keep", "what becomes of connections that it denies: keep or rematch")
	return cmd
}

func (a *app) policyRollback() *cobra.Command {
	var i installing
	comment := ""
	cmd := &cobra.Command{Use: "rollback [GENERATION]", Short: "Install an older generation's content as a new generation; without a number the one before the current",
		Args: arguments(cobra.MaximumNArgs(1)), RunE: func(cmd *cobra.Command, args []string) error {
			q := api.RollbackRequest{Comment: comment, InstallOptions: i.options()}
			if len(args) == 1 {
				var err error
				if q.To, err = generationOf(args[0]); err != nil {
					return err
				}
			}
			return a.install(cmd, at(i.cluster, "rollback"), q)
		}}
	i.flags(cmd)
	cmd.Flags().StringVar(&comment, "comment", "", "why")
	return cmd
}

func generationOf(text string) (uint64, error) {
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil || n == 0 {
		return 0, usage.New(fmt.Errorf("generation %q: write its number", text))
	}
	return n, nil
}

func (a *app) policyDecide(verb, short string) *cobra.Command {
	cluster := ""
	return clusterFlag(&cobra.Command{Use: verb, Short: short, Args: arguments(cobra.NoArgs), RunE: func(cmd *cobra.Command, _ []string) error {
		return a.tell(cmd, "POST", at(cluster, verb), nil)
	}}, &cluster)
}

func (a *app) policyList() *cobra.Command {
	cluster := ""
	return clusterFlag(&cobra.Command{Use: "list", Short: "List all generations of a cluster", Args: arguments(cobra.NoArgs), RunE: func(cmd *cobra.Command, _ []string) error {
		return ask(a, cmd, at(cluster, "policies"), func(p *page, all []api.Policy) {
			var rows [][]string
			for _, v := range all {
				origin := ""
				if v.Origin != 0 {
					origin = fmt.Sprint(v.Origin)
				}
				rows = append(rows, []string{fmt.Sprint(v.Generation), v.Status, p.stamp(v.Created), v.Author, origin, v.Digest.Short(), v.Comment})
			}
			p.table([]string{"GENERATION", "STATUS", "CREATED", "AUTHOR", "OF", "DIGEST", "COMMENT"}, rows)
		})
	}}, &cluster)
}

func (a *app) policyShow() *cobra.Command {
	cluster, text := "", false
	cmd := clusterFlag(&cobra.Command{Use: "show [GENERATION]", Short: "Show a generation; without a number the current one", Args: arguments(cobra.MaximumNArgs(1)), RunE: func(cmd *cobra.Command, args []string) error {
		g, err := a.generation(cmd, cluster, args)
		if err != nil {
			return err
		}
		return ask(a, cmd, at(cluster, "policies", g), func(p *page, v api.Policy) {
			if !text {
				p.line("Generation   %d %s", v.Generation, v.Status)
				p.line("Created      %s by %s", p.stamp(v.Created), v.Author)
				p.line("Comment      %s", v.Comment)
				if v.Origin != 0 {
					p.line("Origin       content of generation %d again", v.Origin)
				}
				p.line("Digest       %s", v.Digest)
				p.line("Ruleset      %s, %d lines; connections that it denies: %s", v.File, strings.Count(v.Ruleset, "\n"), v.Connections)
				for _, s := range v.Sync {
					p.line("Sync         %s", s)
				}
				for _, s := range v.Keep {
					p.line("Keep         %s", s)
				}
				return
			}
			p.b.WriteString(v.Ruleset)
		})
	}}, &cluster)
	cmd.Flags().BoolVar(&text, "ruleset", false, "print the ruleset alone")
	return cmd
}

// generation is the one that was named, or the current one.
func (a *app) generation(cmd *cobra.Command, cluster string, args []string) (string, error) {
	if len(args) == 1 {
		_, err := generationOf(args[0])
		return args[0], err
	}
	c, err := a.client()
	if err != nil {
		return "", err
	}
	defer c.Close()
	var v api.Cluster
	if err := c.Call(cmd.Context(), "GET", at(cluster), nil, &v); err != nil {
		return "", err
	}
	if v.Current.None() {
		return "", fmt.Errorf("cluster %s has no policy yet; install one", cluster)
	}
	return fmt.Sprint(v.Current.Generation), nil
}

func (a *app) policyDiff() *cobra.Command {
	cluster := ""
	return clusterFlag(&cobra.Command{Use: "diff [FROM [TO]]", Short: "Show what differs between two generations; without numbers the one before the current, and the current one",
		Args: arguments(cobra.MaximumNArgs(2)), RunE: func(cmd *cobra.Command, args []string) error {
			path := at(cluster, "diff")
			for i, name := range []string{"?from=", "&to="}[:len(args)] {
				if _, err := generationOf(args[i]); err != nil {
					return err
				}
				path += name + args[i]
			}
			return ask(a, cmd, path, drawDiff)
		}}, &cluster)
}

func drawDiff(p *page, v api.Diff) {
	if v.Equal {
		p.line("generations %d and %d have the same content", v.From, v.To)
		return
	}
	p.line("--- generation %d", v.From)
	p.line("+++ generation %d", v.To)
	for _, c := range v.Changes {
		p.line("%s", c.Object)
		for _, l := range c.Lines {
			p.line("  %s %s", map[bool]string{true: "+", false: "-"}[l.Added], l.Text)
		}
	}
	for _, o := range v.Other {
		p.line("%s", o)
	}
}

func (a *app) policyFetch() *cobra.Command {
	cluster := ""
	return clusterFlag(&cobra.Command{Use: "fetch GENERATION FILE", Short: "Write a generation's signed file", Args: arguments(cobra.ExactArgs(2)), RunE: func(cmd *cobra.Command, args []string) error {
		if _, err := generationOf(args[0]); err != nil {
			return err
		}
		if err := a.download(cmd, at(cluster, "policies", args[0], "file"), args[1], 0o644); err != nil {
			return err
		}
		return a.done("wrote generation %s of %s to %s", args[0], cluster, args[1])
	}}, &cluster)
}

// download writes an answer to a new file, whole or not at all.
func (a *app) download(cmd *cobra.Command, path, file string, mode os.FileMode) error {
	c, err := a.client()
	if err != nil {
		return err
	}
	defer c.Close()
	err = atomicfile.CreateFrom(file, mode, func(w io.Writer) error { return c.Copy(cmd.Context(), path, w) })
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s is there already; choose another name, or remove it first", file)
	}
	return err
}

// policyState is the answer of policy status as JSON.
type policyState struct {
	Cluster api.Cluster  `json:"cluster"`
	Members []api.Member `json:"members"`
	Install *api.Install `json:"install,omitempty"` // the newest
}

func (a *app) policyStatus() *cobra.Command {
	cluster := ""
	return clusterFlag(&cobra.Command{Use: "status", Short: "Show what the members of a cluster have, and the newest install", Args: arguments(cobra.NoArgs), RunE: func(cmd *cobra.Command, _ []string) error {
		c, err := a.client()
		if err != nil {
			return err
		}
		defer c.Close()
		var v policyState
		if err := c.Call(cmd.Context(), "GET", at(cluster), nil, &v.Cluster); err != nil {
			return err
		}
		v.Cluster.Config = ""
		if err := c.Call(cmd.Context(), "GET", at(cluster, "members"), nil, &v.Members); err != nil {
			return err
		}
		if v.Cluster.Attempt != 0 {
			v.Install = &api.Install{}
			if err := c.Call(cmd.Context(), "GET", at(cluster, "installs", fmt.Sprint(v.Cluster.Attempt)), nil, v.Install); err != nil {
				return err
			}
		}
		return a.print(v, func(p *page) {
			drawCluster(p, v.Cluster)
			p.line("")
			drawMembers(p, v.Members)
			if v.Install != nil {
				p.line("")
				drawInstall(p, *v.Install)
			}
		})
	}}, &cluster)
}
