// SPDX-License-Identifier: Apache-2.0

package reference

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	namedPaths     = regexp.MustCompile("`((?:bpf|ccp|cmd|dataplane|deploy|docs|internal|lab|management|members|policy|scripts)/[A-Za-z0-9_./-]*[A-Za-z0-9_])`")
	namedTests     = regexp.MustCompile(`\b(?:Test|Fuzz|Benchmark)[A-Z]\w+`)
	namedScenarios = regexp.MustCompile("scenarios? (`[a-z-]+`(?:, `[a-z-]+`)*)")
	quoted         = regexp.MustCompile("`([^`]+)`")
	testFunctions  = regexp.MustCompile(`(?m)^func ((?:Test|Fuzz|Benchmark)\w+)\(`)
)

// TestNamed: files, tests and scenarios that the documentation names are there under that name.
func TestNamed(t *testing.T) {
	tests := testNames(t)
	for _, file := range pages(t) {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		text := string(raw)
		for _, m := range namedPaths.FindAllStringSubmatch(text, -1) {
			if _, err := os.Stat(filepath.Join("../..", m[1])); err != nil {
				t.Errorf("%s: %v", file, err)
			}
		}
		for _, name := range namedTests.FindAllString(text, -1) {
			if !tests[name] {
				t.Errorf("%s: there is no %s", file, name)
			}
		}
		for _, m := range namedScenarios.FindAllStringSubmatch(text, -1) {
			for _, name := range quoted.FindAllStringSubmatch(m[1], -1) {
				if found, _ := filepath.Glob("../../lab/scenarios/" + name[1] + ".txt"); len(found) == 0 {
					t.Errorf("%s: there is no scenario %s", file, name[1])
				}
			}
		}
	}
}

// testNames are the names of all tests, fuzzers and benchmarks of the tree.
func testNames(t *testing.T) map[string]bool {
	t.Helper()
	names := map[string]bool{}
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == "bin" || d.Name() == "out" || d.Name() == ".git"):
			return filepath.SkipDir
		case !strings.HasSuffix(path, "_test.go"):
			return nil
		}
		text, err := os.ReadFile(path)
		for _, m := range testFunctions.FindAllStringSubmatch(string(text), -1) {
			names[m[1]] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}
