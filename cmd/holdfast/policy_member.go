// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/holdfast-project/holdfast/internal/control"
	"github.com/holdfast-project/holdfast/internal/usage"
	"github.com/holdfast-project/holdfast/policy"
)

// onlineCommands are those that ask the member, or tell it what to do.
func (a *app) onlineCommands() []*cobra.Command {
	history := noun(a, "history", "The policies that this member has, the newest first", (*control.Client).PolicyHistory, drawPolicyHistory)
	return []*cobra.Command{
		noun(a, "status", "Which policy is in force, here and on the others, and how an install goes", (*control.Client).Policy, drawPolicyStatus),
		a.policyShow(), history, a.policyLoad(),
		a.orderCommand("fetch", "Ask the other members and management for what is newer, and put it into force", (*control.Client).PolicyFetch),
		a.orderCommand("unload", "Take the policy out of force: the boot filter holds, the member stands aside", (*control.Client).PolicyUnload),
		a.policyBootFilter(),
	}
}

func (a *app) policyLoad() *cobra.Command {
	return &cobra.Command{
		Use: "load [BUNDLE]", Short: "End unload; or put a policy file into force by hand, where there is no management",
		Long: "Without a file the policy that is the newest comes into force again.\n\n" +
			"With a file this member verifies it, puts it into force, and keeps it; the others take it from this one, each by itself. An install by\n" +
			"management does this on all members at once, or on none. The file must be newer than what is in force.",
		Args: arguments(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return a.verb(cmd.Context(), (*control.Client).PolicyResume)
			}
			if _, err := readPolicy(args[0]); err != nil { // says more than the member would
				return err
			}
			file, err := readBounded(args[0], policy.MaxFile)
			if err != nil {
				return err
			}
			return a.verb(cmd.Context(), func(c *control.Client, ctx context.Context) (control.Result, error) {
				return c.PolicyLoad(ctx, file)
			})
		}}
}

func (a *app) policyShow() *cobra.Command {
	text := false
	cmd := &cobra.Command{
		Use: "show [GENERATION]", Short: "What the policy in force says of itself, or another one that this member has",
		Args: arguments(cobra.MaximumNArgs(1)), ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			c := control.NewClient(a.socket)
			defer c.Close()
			var sealed *policy.Sealed
			show := func(ctx context.Context) (any, func(*page), error) {
				generation, err := a.generation(ctx, c, args)
				if err != nil {
					return nil, nil, err
				}
				if sealed, err = fetchPolicy(ctx, c, generation); err != nil {
					return nil, nil, err
				}
				v := told("", sealed)
				return v, func(p *page) { drawPolicy(p, v) }, nil
			}
			if !text {
				return a.show(cmd.Context(), show)
			}
			if _, _, err := show(cmd.Context()); err != nil {
				return err
			}
			_, err := io.WriteString(a.out, sealed.Bundle().Ruleset)
			return err
		},
	}
	cmd.Flags().BoolVar(&text, "ruleset", false, "print the ruleset alone")
	return cmd
}

// generation is the one that was asked for: the one in force by default.
func (a *app) generation(ctx context.Context, c *control.Client, args []string) (uint64, error) {
	if len(args) > 0 {
		n, err := strconv.ParseUint(args[0], 10, 64)
		if err != nil || n == 0 {
			return 0, usage.New(fmt.Errorf("%q is no generation; holdfast policy history lists those that are here", args[0]))
		}
		return n, nil
	}
	v, err := c.Policy(ctx)
	switch {
	case err != nil:
		return 0, err
	case v.InForce == nil:
		return 0, fmt.Errorf("no policy is in force: %s", v.Reason)
	}
	return v.InForce.Generation, nil
}

// fetchPolicy gets a policy from the member.
func fetchPolicy(ctx context.Context, c *control.Client, generation uint64) (*policy.Sealed, error) {
	file, err := c.PolicyFile(ctx, generation)
	if err != nil {
		return nil, err
	}
	s, err := policy.Decode(file)
	if err != nil {
		return nil, fmt.Errorf("generation %d as the member has it: %w", generation, err)
	}
	return s, nil
}

// eitherPolicy reads a file or, if there is none of this name, asks the member for the generation of this number.
func (a *app) eitherPolicy(ctx context.Context, word string) (*policy.Sealed, error) {
	n, err := strconv.ParseUint(word, 10, 64)
	if _, statErr := os.Stat(word); err != nil || n == 0 || !errors.Is(statErr, fs.ErrNotExist) {
		return readPolicy(word)
	}
	c := control.NewClient(a.socket)
	defer c.Close()
	return fetchPolicy(ctx, c, n)
}
