// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/holdfast-project/holdfast/management"
	"github.com/holdfast-project/holdfast/management/api"
)

func (a *app) userCommand() *cobra.Command {
	role := ""
	add := &cobra.Command{Use: "add NAME", Short: "Add a person, and print the one-time token for \"login\"", Args: arguments(cobra.ExactArgs(1)), RunE: func(cmd *cobra.Command, args []string) error {
		c, err := a.client()
		if err != nil {
			return err
		}
		defer c.Close()
		var v api.TokenGranted
		if err := c.Call(cmd.Context(), "POST", "/v1/users", api.UserRequest{Name: args[0], Role: role}, &v); err != nil {
			return err
		}
		return a.print(v, func(p *page) { p.line("%s", v.Grant) })
	}}
	add.Flags().StringVar(&role, "role", "", "viewer, operator or admin")
	_ = add.MarkFlagRequired("role")
	var life time.Duration
	var local data
	token := &cobra.Command{Use: "token NAME", Short: "Print another one-time token for \"login\"", Args: arguments(cobra.ExactArgs(1)),
		Long: "With --data or --store the token is made in the store itself, on the server's host, with the server stopped if the store is a file: the way back when no\n" +
			"administrator's certificate and token are left.",
	}
	local.flags(token)
	token.RunE = func(cmd *cobra.Command, args []string) error {
		if cmd.Flags().Changed("data") || cmd.Flags().Changed("store") {
			return a.localToken(cmd.Context(), local, args[0], life)
		}
		return a.grant(cmd, "/v1/users/"+url.PathEscape(args[0])+"/token", life)
	}
	token.Flags().DurationVar(&life, "for", 24*time.Hour, "how long it may be used")
	return group("user", "People and what they may do", add, token,
		&cobra.Command{Use: "list", Short: "List all people", Args: arguments(cobra.NoArgs), RunE: func(cmd *cobra.Command, _ []string) error {
			return ask(a, cmd, "/v1/users", func(p *page, all []api.User) {
				var rows [][]string
				for _, u := range all {
					rows = append(rows, []string{u.Name, u.Role, p.stamp(u.Added), u.By})
				}
				p.table([]string{"USER", "ROLE", "ADDED", "BY"}, rows)
			})
		}},
		&cobra.Command{Use: "role NAME ROLE", Short: "Give a person another role", Args: arguments(cobra.ExactArgs(2)), RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			defer c.Close()
			var v api.User
			if err := c.Call(cmd.Context(), "PUT", "/v1/users/"+url.PathEscape(args[0]), api.UserRequest{Name: args[0], Role: args[1]}, &v); err != nil {
				return err
			}
			return a.print(v, func(p *page) { p.line("%s is %s", v.Name, v.Role) })
		}},
		&cobra.Command{Use: "remove NAME", Short: "Remove a person, with all certificates and tokens", Args: arguments(cobra.ExactArgs(1)), RunE: func(cmd *cobra.Command, args []string) error {
			return a.tell(cmd, "DELETE", "/v1/users/"+url.PathEscape(args[0]), nil)
		}})
}

func (a *app) tokenCommand() *cobra.Command {
	return group("token", "Tokens that were given away",
		&cobra.Command{Use: "list", Short: "List all tokens", Args: arguments(cobra.NoArgs), RunE: func(cmd *cobra.Command, _ []string) error {
			return ask(a, cmd, "/v1/tokens", func(p *page, all []api.Token) {
				var rows [][]string
				for _, t := range all {
					rows = append(rows, []string{t.ID, t.Kind, t.For, t.Status, p.stamp(t.Created), t.By, p.stamp(t.Expires), p.maybe(t.Used)})
				}
				p.table([]string{"TOKEN", "KIND", "FOR", "STATUS", "CREATED", "BY", "EXPIRES", "USED"}, rows)
			})
		}},
		&cobra.Command{Use: "revoke ID", Short: "Revoke a token", Args: arguments(cobra.ExactArgs(1)), RunE: func(cmd *cobra.Command, args []string) error {
			return a.tell(cmd, "DELETE", "/v1/tokens/"+url.PathEscape(args[0]), nil)
		}})
}

func (a *app) certificateCommand() *cobra.Command {
	why := ""
	revoke := &cobra.Command{Use: "revoke SERIAL", Short: "Revoke a certificate", Args: arguments(cobra.ExactArgs(1)), RunE: func(cmd *cobra.Command, args []string) error {
		return a.tell(cmd, "POST", "/v1/certificates/"+url.PathEscape(args[0])+"/revoke", api.RevokeRequest{Why: why})
	}}
	revoke.Flags().StringVar(&why, "why", "", "why")
	return group("certificate", "Certificates that were issued", revoke,
		&cobra.Command{Use: "list", Short: "List all certificates", Args: arguments(cobra.NoArgs), RunE: func(cmd *cobra.Command, _ []string) error {
			return ask(a, cmd, "/v1/certificates", func(p *page, all []api.Certificate) {
				var rows [][]string
				for _, c := range all {
					rows = append(rows, []string{c.Serial, c.Kind, c.For, c.Status, p.stamp(c.Issued), c.By, p.stamp(c.NotAfter), c.Why})
				}
				p.table([]string{"SERIAL", "KIND", "FOR", "STATUS", "ISSUED", "BY", "UNTIL", "WHY"}, rows)
			})
		}})
}

func (a *app) auditCommand() *cobra.Command {
	var after, limit uint64
	show := &cobra.Command{Use: "show", Short: "Show entries of the audit log; without --after the newest", Args: arguments(cobra.NoArgs), RunE: func(cmd *cobra.Command, _ []string) error {
		path := fmt.Sprintf("/v1/audit?limit=%d", limit)
		if cmd.Flags().Changed("after") {
			path += fmt.Sprintf("&after=%d", after)
		}
		return ask(a, cmd, path, drawAudit)
	}}
	show.Flags().Uint64Var(&after, "after", 0, "those with greater numbers")
	show.Flags().Uint64Var(&limit, "limit", 100, "at most so many, up to 1000")
	var anchors []string
	verify := &cobra.Command{Use: "verify", Short: "Have the whole audit log read, and tell whether it is as it was written", Args: arguments(cobra.NoArgs),
		Long: "verify prints the log's newest anchor, NUMBER:HASH. Note it where whoever runs the server does not reach, and name it the next time: who can write\n" +
			"the store could otherwise write the whole log anew.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			defer c.Close()
			var v api.AuditVerified
			if err := c.Call(cmd.Context(), "GET", "/v1/audit/verify?"+url.Values{"anchor": anchors}.Encode(), nil, &v); err != nil {
				return err
			}
			if err := a.print(v, func(p *page) { drawVerified(p, v) }); err != nil {
				return err
			}
			if !v.Whole {
				return errReported
			}
			return nil
		}}
	verify.Flags().StringArrayVar(&anchors, "anchor", nil, "NUMBER:HASH of an entry that must still be there; repeat it for more")
	return group("audit", "The log of all changes and refusals", show, verify)
}

func drawVerified(p *page, v api.AuditVerified) {
	if v.Whole {
		p.line("whole; it ends with %s", v.Anchor)
		return
	}
	p.line("BROKEN: %s", v.Why)
}

func drawAudit(p *page, all []api.AuditEntry) {
	var rows [][]string
	for _, e := range all {
		who := e.Event.Actor.Name
		if who == "" {
			who = e.Event.Actor.Kind.String()
		}
		rows = append(rows, []string{fmt.Sprint(e.Number), p.stamp(time.Unix(0, e.Event.Time)), who, e.Event.Actor.Address, e.Event.Action, e.Event.Cluster, e.Event.Object,
			map[bool]string{true: "refused: "}[e.Event.Outcome == management.Refused] + e.Event.Why, details(e.Event.Detail)})
	}
	p.table([]string{"ENTRY", "TIME", "WHO", "FROM", "ACTION", "CLUSTER", "OBJECT", "WHY", "DETAIL"}, rows)
}

func details(d map[string]string) string {
	var all []string
	for k, v := range d {
		if v != "" {
			all = append(all, k+"="+v)
		}
	}
	slices.Sort(all)
	return strings.Join(all, " ")
}

func (a *app) backupCommand() *cobra.Command {
	return &cobra.Command{Use: "backup FILE", Short: "Write everything that the store has to FILE", Args: arguments(cobra.ExactArgs(1)),
		Long: "backup has no private key: keep a copy of the server's DATA/keys beside it, apart.", RunE: func(cmd *cobra.Command, args []string) error {
			if err := a.download(cmd, "/v1/backup", args[0], 0o600); err != nil {
				return err
			}
			return a.done("wrote %s", args[0])
		}}
}
