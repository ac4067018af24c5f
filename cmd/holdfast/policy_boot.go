// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"net/netip"
	"os"

	"github.com/spf13/cobra"

	"github.com/holdfast-project/holdfast/internal/config"
	"github.com/holdfast-project/holdfast/internal/control"
	"github.com/holdfast-project/holdfast/internal/defines"
	"github.com/holdfast-project/holdfast/internal/usage"
	"github.com/holdfast-project/holdfast/policy/bootfilter"
	"github.com/holdfast-project/holdfast/policy/nft"
)

func (a *app) policyBootFilter() *cobra.Command {
	file, show, remove, force := "", false, false, false
	cmd := &cobra.Command{
		Use: "boot-filter", Short: "Load what holds until the member has a policy; a systemd unit does so at boot",
		Long: "Loads the table inet holdfast_boot: nothing is forwarded, and nobody comes in but what answers, neighbours, echo requests, and SSH from\n" +
			"policy.ssh-from. The daemon removes it once a policy is in force. Without a section policy there is nothing to load.\n\n" +
			"If the file cannot be understood the filter is loaded all the same, with SSH from everywhere, so that somebody can mend it.",
		Args: arguments(cobra.NoArgs), ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if remove && show {
				return usage.New(fmt.Errorf("--remove and --print: choose one; see %s --help", cmd.CommandPath()))
			}
			kernel := nft.New(nft.Options{})
			if remove {
				return a.done(control.Result{Done: "no boot filter is loaded"}, kernel.RemoveBootFilter(cmd.Context()))
			}
			f, broken := bootFilter(file)
			switch {
			case f == nil:
				return a.done(control.Result{Done: "nothing to load: " + file + " has no section policy"}, nil)
			case show:
				if _, err := io.WriteString(a.out, f.Text()); err != nil {
					return err
				}
				return broken
			}
			if !force {
				if err := nothingInForce(kernel); err != nil {
					return err
				}
			}
			if err := kernel.LoadBootFilter(cmd.Context(), f); err != nil {
				return err
			}
			if broken != nil {
				return fmt.Errorf("the boot filter holds, with SSH from everywhere, since %s cannot be understood: %w", file, broken)
			}
			return a.done(control.Result{Done: "the boot filter holds until a policy is in force"}, nil)
		},
	}
	f := cmd.Flags()
	f.StringVar(&file, "config", "/etc/holdfast/cluster.yaml", "cluster.yaml of this member")
	f.BoolVar(&show, "print", false, "print it instead of loading it")
	f.BoolVar(&remove, "remove", false, "take it away, on a member that is to have no policies any more")
	f.BoolVar(&force, "force", false, "also if a policy is in force: everything that it lets pass is dropped then")
	return cmd
}

// bootFilter is the filter of a file; nil if that has no section policy. With an error it is the one for a file that cannot be understood.
func bootFilter(path string) (*bootfilter.Filter, error) {
	everywhere := &bootfilter.Filter{SSH: []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")}}
	data, err := os.ReadFile(path)
	if err != nil {
		return everywhere, err
	}
	c, err := config.Parse(path, data)
	if err != nil {
		return everywhere, err
	}
	return defines.BootFilter(c), nil
}

// nothingInForce refuses to shut off what a policy lets pass.
func nothingInForce(kernel *nft.Kernel) error {
	all, err := kernel.State()
	if err != nil {
		return err
	}
	for _, l := range all {
		if l.Awake {
			return fmt.Errorf("generation %d is in force here: holdfast policy unload takes it out of force and loads the filter; --force loads it in addition", l.Mark.Generation)
		}
	}
	return nil
}

// done tells what was done, if it was.
func (a *app) done(r control.Result, err error) error {
	if err != nil {
		return err
	}
	return a.print(r, func(p *page) { p.line("%s", r.Done) })
}
