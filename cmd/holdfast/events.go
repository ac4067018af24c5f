// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/holdfast-project/holdfast/internal/control"
)

func (a *app) eventsCommand() *cobra.Command {
	var follow bool
	var since uint64
	cmd := &cobra.Command{
		Use: "events", Short: "What happened on this member", Args: arguments(cobra.NoArgs), ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c := control.NewClient(a.socket)
			defer c.Close()
			if follow {
				err := c.Follow(cmd.Context(), since, a.printEvent)
				if errors.Is(err, io.EOF) {
					return errors.New("the daemon has ended; its gate goes on serving if it was restarted")
				}
				return err
			}
			events, err := c.Events(cmd.Context(), since)
			for _, e := range events {
				if err := a.printEvent(e); err != nil {
					return err
				}
			}
			return err
		},
	}
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on with new ones")
	cmd.Flags().Uint64Var(&since, "since", 0, "only those after this sequence number")
	return cmd
}

// printEvent writes one event: a line for people, or a line of JSON.
func (a *app) printEvent(e control.Event) error {
	if a.output == "json" {
		return json.NewEncoder(a.out).Encode(e)
	}
	p := &page{app: a}
	p.line("%s  %s  %s", p.stamp(e.Time), p.paint(cell{fmt.Sprintf("%-15s", e.Code), severityStyle(e.Severity)}), describe(e))
	_, err := a.out.Write(p.bytes())
	return err
}

func severityStyle(s string) style {
	switch s {
	case "error":
		return red
	case "warning":
		return yellow
	default:
		return plain
	}
}

func describe(e control.Event) string {
	var words []string
	add := func(format string, args ...any) { words = append(words, fmt.Sprintf(format, args...)) }
	for _, w := range []string{e.Member, e.Interface, e.Device} {
		if w != "" {
			add("%s", w)
		}
	}
	if e.From != "" || e.To != "" {
		add("%s -> %s", nobody(e.From), nobody(e.To))
	}
	if e.Term != 0 {
		add("term %d", e.Term)
	}
	if e.GapMs != 0 {
		add("gap %s", ms(e.GapMs))
	}
	if e.Lost != 0 {
		add("%d events lost", e.Lost)
	}
	if e.Reason != "" {
		add("%s", e.Reason)
	}
	return strings.Join(words, "  ")
}
