// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/holdfast-project/holdfast/internal/build"
	"github.com/holdfast-project/holdfast/internal/control"
)

// versions is the answer of version as JSON.
type versions struct {
	Version string          `json:"version"` // of this program
	Members []memberVersion `json:"members,omitempty"`
}

type memberVersion struct {
	Member       string   `json:"member"`
	State        string   `json:"state"`
	Version      string   `json:"version,omitempty"`
	Protocol     uint32   `json:"protocol,omitempty"`
	Capabilities []string `json:"capabilities,omitempty"`
	ConfigDigest string   `json:"config_digest,omitempty"`
}

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{Use: "version", Short: "Version of this program, and versions and protocols of the members",
		Args: arguments(cobra.NoArgs), ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c := control.NewClient(a.socket)
			defer c.Close()
			v := versions{Version: build.Version}
			s, err := c.State(cmd.Context())
			if err != nil && !errors.Is(err, control.ErrNoDaemon) {
				return err
			}
			for _, m := range s.Members {
				v.Members = append(v.Members, memberVersion{m.Name, m.State, m.Version, m.Protocol, m.Capabilities, m.ConfigDigest})
			}
			return a.print(v, func(p *page) {
				p.line("holdfast %s", v.Version)
				if len(v.Members) == 0 {
					return
				}
				p.line("")
				drawVersions(p, v.Members)
				for _, line := range differences(s) {
					p.line("%s", p.paint(cell{line, yellow}))
				}
			})
		}}
}

func drawVersions(p *page, all []memberVersion) {
	rows := make([][]cell, 0, len(all))
	for _, m := range all {
		row := []cell{text(m.Member), stateCell(m.State), text("not heard"), text(""), text(""), text("")}
		if m.Version != "" {
			row = []cell{text(m.Member), stateCell(m.State), text(m.Version), text(fmt.Sprint(m.Protocol)), text(m.ConfigDigest),
				text(strings.Join(m.Capabilities, " "))}
		}
		rows = append(rows, row)
	}
	p.table([]string{"MEMBER", "STATE", "VERSION", "PROTOCOL", "CONFIGURATION", "CAPABILITIES"}, rows)
}

// differences says which members run something else than this one.
func differences(s control.State) []string {
	var lines []string
	for _, m := range s.Members {
		if m.Local || m.Version == "" {
			continue
		}
		switch {
		case m.Protocol != s.Protocol:
			lines = append(lines, fmt.Sprintf("Upgrade under way: %s runs %s (protocol %d), this member %s (protocol %d).", m.Name, m.Version, m.Protocol, s.Version, s.Protocol))
		case m.Version != s.Version:
			lines = append(lines, fmt.Sprintf("Upgrade under way: %s runs %s, this member %s; both speak protocol %d.", m.Name, m.Version, s.Version, s.Protocol))
		}
	}
	return lines
}
