// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/holdfast-project/holdfast/internal/build"
	"github.com/holdfast-project/holdfast/internal/usage"
	"github.com/holdfast-project/holdfast/management/api"
)

// app is what all commands share: the environment and the global flags.
type app struct {
	environment
	profile string
	servers []string
	output  string
}

func newRoot(env environment) *cobra.Command {
	a := &app{environment: env}
	root := &cobra.Command{
		Use:   "holdfast-mgmt",
		Short: "Management of Holdfast clusters: the server, and the command to use it",
		Long: "holdfast-mgmt keeps the policies of clusters and brings them to all members, all or none.\n\n" +
			"init, serve and restore work on the server's own data. All other commands talk to a server with a profile: what login or init made.\n\n" +
			"Exit status: 0 done; 1 it was refused or failed; 2 the command line was not understood. Durations have a unit: 30s, 2m, 1h.",
		Version:      build.Version,
		Args:         usage.Arguments(cobra.NoArgs),
		RunE:         func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		SilenceUsage: true, SilenceErrors: true,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			if err := errors.Join(cmd.ValidateFlagGroups(), cmd.ValidateRequiredFlags()); err != nil { // cobra would say so itself, as an error of no type
				return usage.New(fmt.Errorf("%w; see %s --help", err, cmd.CommandPath()))
			}
			if a.output != "table" && a.output != "json" {
				return usage.New(fmt.Errorf("-o %s: choose table or json", a.output))
			}
			return nil
		},
	}
	root.Flags().Bool("version", false, "version of this program")
	root.SetOut(env.out)
	root.SetErr(env.err)
	root.SetFlagErrorFunc(usage.Flags)
	f := root.PersistentFlags()
	f.StringVar(&a.profile, "profile", profilePath(env), "directory with who you are (environment: HOLDFAST_MGMT_PROFILE)")
	f.StringArrayVar(&a.servers, "server", nil, "URL of a management server, as https://HOST:9443; repeat it for more (default: the profile's)")
	f.StringVarP(&a.output, "output", "o", "table", "table or json")
	root.AddCommand(a.initCommand(), a.serveCommand(), a.restoreCommand(), a.loginCommand(), a.renewCommand(), a.clusterCommand(), a.memberCommand(),
		a.policyCommand(), a.userCommand(), a.tokenCommand(), a.certificateCommand(), a.auditCommand(), a.backupCommand(), a.healthCommand(), a.versionCommand())
	if err := usage.Examples(root, examples); err != nil {
		panic(err) // the table names a command that is none: the tests find it
	}
	return root
}

func profilePath(env environment) string {
	if p := env.getenv("HOLDFAST_MGMT_PROFILE"); p != "" {
		return p
	}
	if c := env.getenv("XDG_CONFIG_HOME"); c != "" {
		return filepath.Join(c, "holdfast-mgmt")
	}
	return filepath.Join(env.getenv("HOME"), ".config", "holdfast-mgmt")
}

// arguments makes a check of the arguments one that shows how the command is written.
func arguments(check cobra.PositionalArgs) cobra.PositionalArgs { return usage.Arguments(check) }

// group makes a command that only has others below it.
func group(use, short string, below ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{Use: use, Short: short, Args: arguments(cobra.NoArgs), RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() }}
	cmd.AddCommand(below...)
	return cmd
}

// print shows v as JSON, or as draw has it.
func (a *app) print(v any, draw func(*page)) error {
	if a.output == "json" {
		enc := json.NewEncoder(a.out)
		enc.SetIndent("", "  ")
		return enc.Encode(v)
	}
	p := &page{app: a}
	draw(p)
	_, err := a.out.Write(p.b.Bytes())
	return err
}

// done shows what was done.
func (a *app) done(format string, args ...any) error {
	v := api.Done{Done: fmt.Sprintf(format, args...)}
	return a.print(v, func(p *page) { p.line("%s", v.Done) })
}

// ask is a command that reads one thing and shows it.
func ask[T any](a *app, cmd *cobra.Command, path string, draw func(*page, T)) error {
	c, err := a.client()
	if err != nil {
		return err
	}
	defer c.Close()
	var v T
	if err := c.Call(cmd.Context(), "GET", path, nil, &v); err != nil {
		return err
	}
	return a.print(v, func(p *page) { draw(p, v) })
}

// tell is a command that changes something and shows what the server says was done.
func (a *app) tell(cmd *cobra.Command, method, path string, in any) error {
	c, err := a.client()
	if err != nil {
		return err
	}
	defer c.Close()
	var v api.Done
	if err := c.Call(cmd.Context(), method, path, in, &v); err != nil {
		return err
	}
	return a.print(v, func(p *page) { p.line("%s", v.Done) })
}

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{Use: "version", Short: "Show which build this is", Args: arguments(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			v := map[string]string{"version": build.Version}
			return a.print(v, func(p *page) { p.line("holdfast-mgmt %s", build.Version) })
		}}
}

func (a *app) healthCommand() *cobra.Command {
	return &cobra.Command{Use: "health", Short: "Ask a server whether it and its store answer, and whom it takes you for", Args: arguments(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return ask(a, cmd, "/v1/self", func(p *page, v api.Self) {
				p.line("%s (%s) answers; you are %s, %s, until %s", v.Server, v.Version, v.User, v.Role, p.stamp(v.NotAfter))
			})
		}}
}

// readBounded reads a file that must not be longer than most.
func readBounded(path string, most int64) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Size() > most {
		return nil, fmt.Errorf("%s: %d bytes, at most %d are taken", path, info.Size(), most)
	}
	return os.ReadFile(path)
}
