// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/holdfast-project/holdfast/management/api"
)

// errEnough ends an install's answer early.
var errEnough = errors.New("enough")

// progress follows an install's answer and shows it.
type progress struct {
	app     *app
	last    *api.Install
	checked *api.Checked
	shown   map[string]string // member: its state as last shown
	phase   string
}

// install sends an install and shows how it goes: lines as members come along and a table at the end, or the answer's own lines as JSON. It fails unless the
// policy is in force, or checked if that was all.
func (a *app) install(cmd *cobra.Command, path string, in any) error {
	c, err := a.client()
	if err != nil {
		return err
	}
	defer c.Close()
	p := &progress{app: a, shown: map[string]string{}}
	err = c.Lines(cmd.Context(), "POST", path, in, p.line)
	if err != nil && !errors.Is(err, errEnough) {
		if p.last != nil {
			return fmt.Errorf("%w; the install goes on: see \"holdfast-mgmt policy status\"", err)
		}
		return err
	}
	return p.end()
}

// line takes one line of the answer.
func (p *progress) line(l api.InstallLine) error {
	if p.app.output == "json" {
		if err := json.NewEncoder(p.app.out).Encode(l); err != nil {
			return err
		}
	}
	switch {
	case l.Error != nil:
		return l.Error
	case l.Checked != nil:
		p.checked = l.Checked
		p.say("%s", checkedText(*l.Checked))
		if p.last == nil { // they come again with how a check ended
			for _, w := range l.Checked.Warnings {
				p.say("warning: %s", w)
			}
		}
	case l.Install != nil:
		p.step(*l.Install)
		if l.Install.Manual && l.Install.Phase == "committed" && allCommitted(*l.Install) {
			return errEnough // a person has to confirm: that is another command
		}
	}
	return nil
}

func checkedText(c api.Checked) string {
	if c.Skipped != "" {
		return "read, and not loaded on the server: " + c.Skipped
	}
	took := (time.Duration(c.TookMs) * time.Millisecond).Round(10 * time.Millisecond)
	switch {
	case c.Later:
		return fmt.Sprintf("read in %v; members load it first", took)
	case len(c.Members) == 0:
		return "members have loaded it: no check is left to do"
	case len(c.Loaded) > 0:
		return fmt.Sprintf("checked for %s; members have loaded it for %s", strings.Join(c.Members, ", "), strings.Join(c.Loaded, ", "))
	}
	return fmt.Sprintf("checked for %s in %v", strings.Join(c.Members, ", "), took)
}

func allCommitted(v api.Install) bool {
	for _, m := range v.Members {
		if m.State != "committed" && m.State != "left-out" {
			return false
		}
	}
	return true
}

// step shows what is new.
func (p *progress) step(v api.Install) {
	if p.last == nil {
		p.say("generation %d, attempt %d", v.Policy.Generation, v.Number)
	}
	for _, m := range v.Members {
		if m.State == p.shown[m.Name] || m.State == "waiting" {
			continue
		}
		p.shown[m.Name] = m.State
		p.say("  %s: %s%s", m.Name, m.State, because(m.Why))
	}
	if v.Phase != p.phase {
		p.say("%s%s", v.Phase, because(v.Why))
	}
	p.phase, p.last = v.Phase, &v
}

func because(why string) string {
	if why == "" {
		return ""
	}
	return ": " + why
}

func (p *progress) say(format string, args ...any) {
	if p.app.output == "table" {
		fmt.Fprintf(p.app.out, format+"\n", args...)
	}
}

// end shows the table, and says how it ended.
func (p *progress) end() error {
	if p.last == nil {
		if p.checked == nil {
			return errors.New("the answer ended before anything was said; see \"holdfast-mgmt policy status\"")
		}
		return nil
	}
	v := *p.last
	if p.app.output == "table" {
		out := &page{app: p.app}
		out.line("")
		drawInstall(out, v)
		if _, err := p.app.out.Write(out.b.Bytes()); err != nil {
			return err
		}
	}
	switch {
	case v.Phase == "confirmed":
		return nil
	case v.Phase == "committed" && v.Manual:
		p.say("confirm it: holdfast-mgmt policy confirm --cluster %s", v.Cluster)
		return nil
	case !v.Over:
		return errors.New("the answer ended before the install did; see \"holdfast-mgmt policy status\"")
	}
	return errReported
}

// drawInstall is the table of an attempt.
func drawInstall(p *page, v api.Install) {
	p.line("Install %d of generation %d by %s, begun %s: %s%s", v.Number, v.Policy.Generation, v.By, p.stamp(v.Begun), v.Phase, because(v.Why))
	if v.ConfirmBy != nil {
		p.line("It is taken back unless it is confirmed before %s.", p.stamp(*v.ConfirmBy))
	}
	var rows [][]string
	for _, m := range v.Members {
		took := ""
		if m.AtMs >= 0 {
			took = (time.Duration(m.AtMs) * time.Millisecond).String()
		}
		rows = append(rows, []string{m.Name, m.State, took, m.Why})
	}
	p.table([]string{"MEMBER", "STATE", "AFTER", "REASON"}, rows)
}
