// SPDX-License-Identifier: Apache-2.0

package members

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
)

var appendCodes = flag.Bool("append-codes", false, "append new codes to testdata/codes.frozen")

// TestCodesAreFrozen compares all codes with the list of those that were ever published. What is in the list must stay as it is:
// programs, filters and MIBs out there rely on it. New codes are appended to it with -append-codes.
func TestCodesAreFrozen(t *testing.T) {
	const path = "testdata/codes.frozen"
	text, err := os.ReadFile(path)
	if err != nil && !*appendCodes {
		t.Fatal(err)
	}
	frozen := map[string]bool{}
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimSpace(line); line == "" || line[0] == '#' {
			continue
		}
		frozen[line] = true
		var c Code
		var name, severity string
		if _, err := fmt.Sscanf(line, "%d %s %s", &c, &name, &severity); err != nil {
			t.Fatalf("%s: %q: %v", path, line, err)
		}
		if c.String() != name || c.Severity().String() != severity {
			t.Errorf("code %d was published as %s (%s), and is %s (%s) now: take a new number instead", c, name, severity, c, c.Severity())
		}
	}
	for _, c := range Codes() {
		line := fmt.Sprintf("%d %s %s", uint16(c), c, c.Severity())
		if frozen[line] {
			continue
		}
		if !*appendCodes {
			t.Errorf("%s is new: publish it with go test ./members -run Frozen -append-codes, and document it in docs/EVENTS.md", line)
			continue
		}
		text = append(text, line+"\n"...)
	}
	if *appendCodes {
		if err := os.WriteFile(path, text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

var eventRow = regexp.MustCompile(`(?m)^\| (\d+) \| ` + "`([a-z-]+)`" + ` \| (\w+) \| ([^|]+) \| ([^|]+) \|$`)

// TestEventsAreDocumented compares the tables of docs/EVENTS.md with the codes.
func TestEventsAreDocumented(t *testing.T) {
	text, err := os.ReadFile("../docs/EVENTS.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string]bool{}
	last := ""
	for _, m := range eventRow.FindAllStringSubmatch(string(text), -1) {
		number, name, severity := m[1], m[2], m[3]
		if rows[number] {
			t.Errorf("code %s is in docs/EVENTS.md twice", number)
		}
		rows[number] = true
		if len(number) < len(last) || len(number) == len(last) && number <= last {
			t.Errorf("docs/EVENTS.md: %s comes after %s", number, last)
		}
		last = number
		var c Code
		if _, err := fmt.Sscan(number, &c); err != nil {
			t.Fatal(err)
		}
		if c.String() != name || c.Severity().String() != severity {
			t.Errorf("docs/EVENTS.md says %s %s %s, the code says %s %s", number, name, severity, c, c.Severity())
		}
	}
	for _, c := range Codes() {
		if !rows[fmt.Sprint(uint16(c))] {
			t.Errorf("docs/EVENTS.md lacks a row: | %d | `%s` | %s | meaning | what to do |", uint16(c), c, c.Severity())
		}
	}
}
