// SPDX-License-Identifier: Apache-2.0

package config

import (
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"
)

const referencePath = "../../deploy/cluster.yaml"

func reference(t *testing.T) string {
	t.Helper()
	data, err := os.ReadFile(referencePath)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestReferenceIsValid(t *testing.T) {
	if _, err := Parse(referencePath, []byte(reference(t))); err != nil {
		t.Fatal(err)
	}
}

var (
	commentedKey = regexp.MustCompile(`^( *)# ([a-z][a-z-]*:( .*)?)$`)
	nestedKey    = regexp.MustCompile(`^#(   *)([a-z][a-z-]*:( .*)?)$`)
)

// TestReferenceShowsDefaults puts every commented-out key of the reference in force: the cluster must stay the same, so what the
// comments call the default is the default.
func TestReferenceShowsDefaults(t *testing.T) {
	plain, err := Parse(referencePath, []byte(reference(t)))
	if err != nil {
		t.Fatal(err)
	}
	lines, n := strings.Split(reference(t), "\n"), 0
	apart := false
	for i, line := range lines {
		if apart = line == "# load-sharing:" || line == "# policy:" || apart && line != ""; apart {
			continue // of another mode, see TestReferenceShowsDefaultsOfSections
		}
		if strings.Contains(line, "overrides metrics.listen") || strings.Contains(line, "search: [example.net]") ||
			strings.Contains(line, "# an example") {
			continue // examples of keys that have no default
		}
		if m := commentedKey.FindStringSubmatch(line); m != nil && knownKey(m[2]) {
			lines[i] = m[1] + m[2]
			n++
		} else if m := nestedKey.FindStringSubmatch(line); m != nil && knownKey(m[2]) {
			lines[i] = m[1] + m[2]
			n++
		}
	}
	if n < 35 {
		t.Errorf("only %d commented keys were found", n)
	}
	full, err := Parse(referencePath, []byte(strings.Join(lines, "\n")))
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(plain, full) {
		live, refused := Diff(plain, full)
		t.Errorf("commented values are not the defaults: %+v %+v", live, refused)
	}
	if plain.Digest() != full.Digest() {
		t.Error("writing the defaults out changed the digest")
	}
}

// TestReferenceShowsDefaultsOfSections does the same with sections that change what the cluster is.
func TestReferenceShowsDefaultsOfSections(t *testing.T) {
	for _, section := range []struct {
		name, without, with string // what makes the section's defaults count
		least               int
	}{
		{"load-sharing", "mode: ha", "mode: load-sharing", 5},
		{"policy", "mode: ha", "mode: ha\npolicy: {}", 2},
	} {
		t.Run(section.name, func(t *testing.T) {
			text := strings.Replace(reference(t), "\n"+section.without+"\n", "\n"+section.with+"\n", 1)
			plain, err := Parse(referencePath, []byte(text))
			if err != nil {
				t.Fatal(err)
			}
			before, keys, found := strings.Cut(text, "\n# "+section.name+":\n")
			before = strings.Replace(before, "\n"+section.name+": {}\n", "\n", 1)
			keys, after, _ := strings.Cut(keys, "\n\n")
			lines, n := []string{before, section.name + ":"}, 0
			for line := range strings.Lines(keys + "\n") {
				line = strings.TrimSuffix(line, "\n")
				if m := nestedKey.FindStringSubmatch(line); m != nil && !strings.Contains(line, "# an example") && knownKey(m[2]) {
					lines = append(lines, m[1]+m[2])
					n++
				}
			}
			if !found || n < section.least {
				t.Fatalf("found the section: %v, with %d keys that have a default", found, n)
			}
			full, err := Parse(referencePath, []byte(strings.Join(append(lines, after), "\n")))
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(plain, full) || plain.Digest() != full.Digest() {
				t.Errorf("commented values are not the defaults: %+v %+v, %+v %+v", plain.LoadSharing, plain.Policy, full.LoadSharing, full.Policy)
			}
		})
	}
}

func knownKey(text string) bool {
	key, _, _ := strings.Cut(text, ":")
	return grammar(reflect.TypeFor[rawFile]())[key]
}

// grammar returns all keys that the raw structs know, at any depth.
func grammar(typ reflect.Type) map[string]bool {
	keys := make(map[string]bool)
	for typ.Kind() == reflect.Slice || typ.Kind() == reflect.Map {
		typ = typ.Elem()
	}
	if typ.Kind() != reflect.Struct || typ == scalarType || typ == trunkMonitorType {
		return keys
	}
	for i := range typ.NumField() {
		tag, _, _ := strings.Cut(typ.Field(i).Tag.Get("yaml"), ",")
		if tag == "" {
			continue
		}
		keys[tag] = true
		for k := range grammar(typ.Field(i).Type) {
			keys[k] = true
		}
	}
	return keys
}

// TestReferenceHasEveryKey holds the reference to its word.
func TestReferenceHasEveryKey(t *testing.T) {
	text := reference(t)
	for key := range grammar(reflect.TypeFor[rawFile]()) {
		if !regexp.MustCompile(`(?m)(^|[ {#])` + regexp.QuoteMeta(key) + `:`).MatchString(text) {
			t.Errorf("%s does not show the key %s", referencePath, key)
		}
	}
}
