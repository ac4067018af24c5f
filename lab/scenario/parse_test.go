// SPDX-License-Identifier: Apache-2.0

package scenario

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/holdfast-project/holdfast/lab/ruleset"
	"github.com/holdfast-project/holdfast/lab/topology"
)

var rewrite = flag.Bool("rewrite", false, "write the golden files instead of comparing with them")

// golden compares got with a file; see -rewrite.
func golden(t *testing.T, path, got string) {
	t.Helper()
	if *rewrite {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs; got:\n%s", path, got)
	}
}

func TestParse(t *testing.T) {
	sc, err := Load("testdata/full.txt")
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "name %s\nabout %s\nspec %+v\ncluster %+v\ntraffic %+v\n", sc.Name, sc.About, sc.Spec, sc.Cluster, sc.Traffic)
	for _, s := range sc.Steps {
		fmt.Fprintf(&b, "%d when %d %v: %T%+v\n", s.Line, s.When, s.Delay, s.do, s.do)
	}
	golden(t, "testdata/full.golden", b.String())
}

func TestParseNamesEveryMistakeWithItsLine(t *testing.T) {
	_, err := Load("testdata/mistakes.txt")
	if err == nil {
		t.Fatal("no mistake was found")
	}
	golden(t, "testdata/mistakes.golden", err.Error()+"\n")
	text, _ := os.ReadFile("testdata/mistakes.txt")
	for i, line := range strings.Split(strings.TrimSpace(string(text)), "\n") {
		if slices.Contains(blocks, line) {
			continue
		}
		if at := fmt.Sprintf("mistakes.txt:%d: ", i+1); !strings.Contains(err.Error(), at) {
			t.Errorf("no mistake is reported in line %d: %s", i+1, line)
		}
	}
}

func TestParseRefusesReferencesToNothing(t *testing.T) {
	for text, want := range map[string]string{
		"steps\n power-off fw3\n":                  `x.txt:2: no member "fw3": there are fw1 fw2`,
		"steps\n unplug client9 ext\n":             `x.txt:2: no node "client9": there are fw1 fw2 client1 server1 watch-ext watch-int`,
		"steps\n switch-down dmz\n":                `x.txt:2: no segment "dmz": there are all ext int sync`,
		"steps\n expect states fw8=ACTIVE\n":       `x.txt:2: no member "fw8"`,
		"cluster\n boot later fw8\nsteps\n mark\n": `x.txt:2: no member "fw8"`,
		"about nothing happens\n":                  "x.txt:1: no steps",
	} {
		_, err := Parse(strings.NewReader(text), "x.txt")
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", text, err, want)
		}
	}
}

func TestParagraphsFollowEachOther(t *testing.T) {
	text := "cluster\n ruleset stateful\n ruleset\n  table inet a {\n  }\n yaml\n  a: 1\n\n ruleset\n  table inet b {}\n vmac false\nsteps\n mark\n"
	sc, err := Parse(strings.NewReader(text), "x.txt")
	if err != nil {
		t.Fatal(err)
	}
	c := sc.Cluster
	if want := ruleset.Stateful + "table inet a {\n}\ntable inet b {}\n"; c.Ruleset != want || c.YAML != "a: 1\n" || !c.NoVMAC {
		t.Errorf("ruleset %q, yaml %q", c.Ruleset, c.YAML)
	}
}

// TestShippedScenarios parses every scenario of the project.
func TestShippedScenarios(t *testing.T) {
	var files []string
	for _, pattern := range []string{"../scenarios/*.txt", "../scenarios/*/*.txt"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, found...)
	}
	if len(files) < 10 {
		t.Fatalf("found %d scenarios", len(files))
	}
	for _, f := range files {
		sc, err := Load(f)
		if err != nil {
			t.Error(err)
		} else if sc.About == "" {
			t.Errorf("%s: does not say what it is about", f)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, name := range []string{"full", "mistakes"} {
		text, err := os.ReadFile("testdata/" + name + ".txt")
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text))
	}
	f.Fuzz(func(t *testing.T, text string) {
		sc, err := Parse(strings.NewReader(text), "fuzz.txt")
		if err == nil && len(sc.Steps) == 0 {
			t.Error("a scenario without steps was accepted")
		}
	})
}

// TestOneStepKnowsTheScenario: a step that is given to an open laboratory may install the policies of its scenario, and no other.
func TestOneStepKnowsTheScenario(t *testing.T) {
	of := &Scenario{Spec: topology.DefaultSpec("", 2), Cluster: Cluster{Policies: []Policy{{Name: "first"}}}}
	if steps, err := oneStep(of, "policy install first"); err != nil || len(steps) != 1 {
		t.Errorf("%d steps, %v", len(steps), err)
	}
	if _, err := oneStep(of, "policy install second"); err == nil {
		t.Error("a policy that there is not")
	}
}
