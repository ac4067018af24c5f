// SPDX-License-Identifier: Apache-2.0

package demo_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"go.uber.org/goleak"

	"github.com/holdfast-project/holdfast/internal/labtest"
	"github.com/holdfast-project/holdfast/lab/demo"
	"github.com/holdfast-project/holdfast/lab/machine"
	"github.com/holdfast-project/holdfast/lab/report"
	"github.com/holdfast-project/holdfast/lab/topology"
	"github.com/holdfast-project/holdfast/lab/trial"
	"github.com/holdfast-project/holdfast/lab/trial/trialtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func pretended(lab *topology.Lab) (machine.System, error) {
	return trialtest.New(lab, "pretended", 60*time.Millisecond), nil
}

func find(t *testing.T, name string) trial.Case {
	t.Helper()
	c, err := trial.Find(name)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestDemoShowsTheGap(t *testing.T) {
	labtest.Require(t)
	var out bytes.Buffer
	outcomes, err := demo.Run(context.Background(), demo.Config{
		Members: 2, New: pretended, Cases: []trial.Case{find(t, "power-off")}, Out: &out,
	})
	if err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	text := out.String()
	for _, want := range []string{"1/1  power of fw1 off", "fw2: ACTIVE", "is at", "longest gap", "fw2 serves", "what happened", "never"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in the output", want)
		}
	}
	if !strings.Contains(text, "...") {
		t.Error("the charts show no gap")
	}
	for line := range strings.Lines(text) {
		if utf8.RuneCountInString(strings.TrimRight(line, "\n")) > 80 {
			t.Errorf("wider than a terminal: %s", line)
		}
	}
	if len(outcomes) != 1 || outcomes[0].After != "fw2" {
		t.Errorf("outcomes %+v", outcomes)
	}
	t.Log("\n" + text)
}

func TestDemoSaysWhenTwoServe(t *testing.T) {
	labtest.Require(t)
	var out bytes.Buffer
	kill := find(t, "sigkill") // the pretended cluster has no fence
	kill.Hold = 300 * time.Millisecond
	_, err := demo.Run(context.Background(), demo.Config{Members: 2, New: pretended, Cases: []trial.Case{kill}, Out: &out, Style: report.Style{Color: true}})
	if !errors.Is(err, demo.ErrTwo) || !strings.Contains(out.String(), "TWO AT ONCE") {
		t.Errorf("error %v\n%s", err, out.String())
	}
	_, table, _ := strings.Cut(out.String(), "what happened")
	if !strings.HasSuffix(table, "\n") || strings.Contains(table, "\r") {
		t.Errorf("something is drawn after the table: %q", table)
	}
}

func TestCases(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range demo.Cases() {
		if seen[c.Name] || c.Harm == nil || !strings.Contains(c.Title, "%s") {
			t.Errorf("case %+v", c)
		}
		seen[c.Name] = true
	}
}
