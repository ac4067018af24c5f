// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/holdfast-project/holdfast/internal/config"
	"github.com/holdfast-project/holdfast/management"
	"github.com/holdfast-project/holdfast/management/api"
)

// at is the path of something of a cluster.
func at(cluster string, parts ...string) string {
	path := "/v1/clusters/" + url.PathEscape(cluster)
	for _, p := range parts {
		path += "/" + url.PathEscape(p)
	}
	return path
}

// clusterFlag is how commands name the cluster.
func clusterFlag(cmd *cobra.Command, name *string) *cobra.Command {
	cmd.Flags().StringVar(name, "cluster", "", "name of the cluster")
	_ = cmd.MarkFlagRequired("cluster")
	return cmd
}

func (a *app) clusterCommand() *cobra.Command {
	send := func(cmd *cobra.Command, method, file string) error {
		text, err := readBounded(file, management.MaxConfig)
		if err != nil {
			return err
		}
		q := api.ClusterRequest{Config: string(text), File: filepath.Base(file)}
		path := "/v1/clusters"
		if method == "PUT" {
			parsed, err := config.Parse(file, text)
			if err != nil {
				return err
			}
			path = at(parsed.Name)
		}
		c, err := a.client()
		if err != nil {
			return err
		}
		defer c.Close()
		var v api.Cluster
		if err := c.Call(cmd.Context(), method, path, q, &v); err != nil {
			return err
		}
		return a.print(v, func(p *page) {
			p.line("cluster %s (%d) has the members %s", v.Name, v.ID, strings.Join(v.Members, ", "))
		})
	}
	var numbers api.NumbersRequest
	named := &cobra.Command{Use: "numbers NAME", Short: "Say which generation and attempt the members have seen at most, when a restored server cannot ask them",
		Args: arguments(cobra.ExactArgs(1)), RunE: func(cmd *cobra.Command, args []string) error {
			return a.tell(cmd, "POST", at(args[0], "numbers"), numbers)
		}}
	named.Flags().Uint64Var(&numbers.Generation, "generation", 0, "the highest generation")
	named.Flags().Uint64Var(&numbers.Attempt, "attempt", 0, "the highest number of an attempt to install")
	_ = named.MarkFlagRequired("generation")
	_ = named.MarkFlagRequired("attempt")
	return group("cluster", "Clusters that management knows",
		&cobra.Command{Use: "add CLUSTER.YAML", Short: "Add a cluster by its configuration", Args: arguments(cobra.ExactArgs(1)),
			RunE: func(cmd *cobra.Command, args []string) error { return send(cmd, "POST", args[0]) }},
		&cobra.Command{Use: "change CLUSTER.YAML", Short: "Replace a cluster's configuration; members that it no longer names lose their access", Args: arguments(cobra.ExactArgs(1)),
			RunE: func(cmd *cobra.Command, args []string) error { return send(cmd, "PUT", args[0]) }},
		&cobra.Command{Use: "list", Short: "List all clusters", Args: arguments(cobra.NoArgs), RunE: func(cmd *cobra.Command, _ []string) error {
			return ask(a, cmd, "/v1/clusters", func(p *page, all []api.Cluster) {
				var rows [][]string
				for _, c := range all {
					rows = append(rows, []string{c.Name, fmt.Sprint(c.ID), fmt.Sprintf("%d/%d", c.Here, len(c.Members)), generation(c.Current.Generation), c.Status})
				}
				p.table([]string{"CLUSTER", "ID", "MEMBERS", "GENERATION", "STATUS"}, rows)
			})
		}},
		&cobra.Command{Use: "show NAME", Short: "Show a cluster, with its configuration", Args: arguments(cobra.ExactArgs(1)), RunE: func(cmd *cobra.Command, args []string) error {
			return ask(a, cmd, at(args[0]), func(p *page, c api.Cluster) {
				drawCluster(p, c)
				p.line("\n%s", strings.TrimRight(c.Config, "\n"))
			})
		}}, named)
}

func drawCluster(p *page, c api.Cluster) {
	p.line("Cluster     %s, id %d", c.Name, c.ID)
	p.line("Status      %s", c.Status)
	p.line("Generation  %s, before it %s", generation(c.Current.Generation), generation(c.Previous.Generation))
	if c.Unsure != nil {
		p.line("Numbers     unsure: nothing can be installed before these have reported: %s", strings.Join(c.Unsure, ", "))
	}
}

func (a *app) memberCommand() *cobra.Command {
	cluster, why := "", ""
	var life time.Duration
	list := &cobra.Command{Use: "list", Short: "List the members of a cluster, with what they report", Args: arguments(cobra.NoArgs), RunE: func(cmd *cobra.Command, _ []string) error {
		return ask(a, cmd, at(cluster, "members"), drawMembers)
	}}
	token := &cobra.Command{Use: "token MEMBER", Short: "Make the one-time token with which a member enrols", Args: arguments(cobra.ExactArgs(1)), RunE: func(cmd *cobra.Command, args []string) error {
		return a.grant(cmd, at(cluster, "members", args[0], "token"), life)
	}}
	token.Flags().DurationVar(&life, "for", time.Hour, "how long it may be used")
	revoke := &cobra.Command{Use: "revoke MEMBER", Short: "Take all certificates of a member back", Args: arguments(cobra.ExactArgs(1)), RunE: func(cmd *cobra.Command, args []string) error {
		return a.tell(cmd, "POST", at(cluster, "members", args[0], "revoke"), api.RevokeRequest{Why: why})
	}}
	revoke.Flags().StringVar(&why, "why", "", "why")
	return group("member", "Members of a cluster: what they report, and their access", clusterFlag(list, &cluster), clusterFlag(token, &cluster), clusterFlag(revoke, &cluster))
}

// grant asks for a one-time token and prints it alone, so that it can be handed on.
func (a *app) grant(cmd *cobra.Command, path string, life time.Duration) error {
	c, err := a.client()
	if err != nil {
		return err
	}
	defer c.Close()
	var v api.TokenGranted
	if err := c.Call(cmd.Context(), "POST", path, api.TokenRequest{ForMs: life.Milliseconds()}, &v); err != nil {
		return err
	}
	return a.print(v, func(p *page) { p.line("%s", v.Grant) })
}

func drawMembers(p *page, all []api.Member) {
	var rows [][]string
	for _, m := range all {
		row := []string{m.Name, "silent", "", "", "", p.ago(m.Seen), ""}
		switch {
		case m.Enrolled == nil:
			row[1] = "not enrolled"
		case m.Certificate == "":
			row[1] = "revoked"
		case m.Here:
			row[1] = "here"
		}
		if r := m.Report; r != nil {
			row[2], row[3], row[4], row[6] = r.State, generation(r.InForce.Generation), r.PolicyStatus, r.PolicyReason
			if r.Drift != "" {
				row[6] = "drift: " + r.Drift
			}
		}
		rows = append(rows, row)
	}
	p.table([]string{"MEMBER", "MANAGEMENT", "STATE", "GENERATION", "POLICY", "SEEN", "REASON"}, rows)
}
