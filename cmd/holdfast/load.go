// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/holdfast-project/holdfast/internal/control"
	"github.com/holdfast-project/holdfast/internal/usage"
)

func (a *app) loadCommand() *cobra.Command {
	cmd := noun(a, "load", "Load sharing: who takes which part of the traffic", (*control.Client).Load, drawLoad)
	cmd.AddCommand(a.loadWeight(), a.loadARP(), a.loadDefines())
	return cmd
}

func (a *app) loadWeight() *cobra.Command {
	reset := false
	cmd := &cobra.Command{
		Use: "weight MEMBER N", Short: "Change a member's weight on all members, until the next reload",
		Long: "Changes the weight of a member, 0 to 100, relative to those of the others; with 0 it stands by. Only as many slots\n" +
			"move as must, and in order: no connection is disturbed.\n\n" +
			"It holds until cluster.yaml is reloaded on any member, or --reset; to keep it, write it into load-sharing.weights.",
		Args: func(cmd *cobra.Command, args []string) error {
			want := 2
			if reset {
				want = 0
			}
			return arguments(cobra.ExactArgs(want))(cmd, args)
		},
		ValidArgsFunction: a.completeMembers,
		RunE: func(cmd *cobra.Command, args []string) error {
			r := control.LoadWeightRequest{Reset: reset}
			if !reset {
				n, err := strconv.Atoi(args[1])
				if err != nil {
					return usage.New(fmt.Errorf("weight %s: write a number, 0 to 100", args[1]))
				}
				r.Member, r.Weight = args[0], n
			}
			return a.verb(cmd.Context(), func(c *control.Client, ctx context.Context) (control.Result, error) { return c.LoadWeight(ctx, r) })
		},
	}
	cmd.Flags().BoolVar(&reset, "reset", false, "the weights of cluster.yaml hold again, for all members")
	return cmd
}

func (a *app) loadDefines() *cobra.Command {
	cmd := noun(a, "defines", "The definitions for rulesets that this member has written", (*control.Client).LoadDefines,
		func(p *page, v control.LoadDefines) {
			p.line("# include \"%s\"", v.Path)
			if v.Error != "" {
				p.line("# %s", p.paint(cell{"NOT WRITTEN: " + v.Error, red}))
			}
			p.line("%s", strings.TrimSuffix(v.Text, "\n"))
		})
	cmd.Long = "Shows the file that nftables rulesets include to know this member's part of the source ports, and other names. It is\n" +
		"written at start and at a reload. Where rulesets are loaded before the daemon starts: holdfast config defines --write."
	return cmd
}

func (a *app) whichCommand() *cobra.Command {
	var r control.WhichRequest
	cmd := &cobra.Command{
		Use: "which-member SOURCE DESTINATION", Short: "Where would a packet go, and why",
		Long: "Says which member takes a packet between two addresses, by the table of slots and the connections that this member\n" +
			"knows. Nothing is sent.",
		Args: arguments(cobra.ExactArgs(2)), ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			r.Source, r.Destination = args[0], args[1]
			c := control.NewClient(a.socket)
			defer c.Close()
			return a.show(cmd.Context(), func(ctx context.Context) (any, func(*page), error) {
				v, err := c.Which(ctx, r)
				return v, func(p *page) { drawWhich(p, r, v) }, err
			})
		},
	}
	f := cmd.Flags()
	f.StringVarP(&r.Protocol, "protocol", "p", "tcp", "tcp, udp, udplite, sctp, dccp, icmp, icmpv6, gre, esp, ah, or a number")
	f.Uint16Var(&r.SourcePort, "sport", 0, "source port; of an echo: its identifier")
	f.Uint16Var(&r.DestinationPort, "dport", 0, "destination port")
	f.Uint32Var(&r.SPI, "spi", 0, "security parameter index of ESP or AH")
	f.BoolVar(&r.Reply, "reply", false, "it is an answer: a segment with ACK, an echo reply")
	_ = cmd.RegisterFlagCompletionFunc("protocol", cobra.FixedCompletions([]string{"tcp", "udp", "udplite", "sctp", "dccp", "icmp", "icmpv6", "gre", "esp", "ah"},
		cobra.ShellCompDirectiveNoFileComp))
	return cmd
}
