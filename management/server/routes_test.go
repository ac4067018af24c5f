// SPDX-License-Identifier: Apache-2.0

package server

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/holdfast-project/holdfast/management/api"
)

// operation is as much of one as is compared.
type operation struct {
	Security   []map[string][]string `yaml:"security"`
	Role       string                `yaml:"x-holdfast-role"`
	Parameters []struct {
		Name string `yaml:"name"`
		In   string `yaml:"in"`
	} `yaml:"parameters"`
	Body      *struct{}           `yaml:"requestBody"`
	Responses map[string]struct{} `yaml:"responses"`
}

// TestDocument compares openapi.yaml with the routes: none is missing on either side, and both say the same of whom they are for.
func TestDocument(t *testing.T) {
	var doc struct {
		OpenAPI string                          `yaml:"openapi"`
		Paths   map[string]map[string]yaml.Node `yaml:"paths"`
	}
	if err := yaml.Unmarshal(api.Document(), &doc); err != nil {
		t.Fatal(err)
	}
	if doc.OpenAPI != "3.1.0" {
		t.Errorf("openapi %q", doc.OpenAPI)
	}
	seen := map[string]bool{}
	for _, r := range table {
		name := r.method + " " + r.path
		node, ok := doc.Paths[r.path][strings.ToLower(r.method)]
		if !ok {
			t.Errorf("%s is not in the document", name)
			continue
		}
		seen[name] = true
		var o operation
		if err := node.Decode(&o); err != nil {
			t.Fatal(err)
		}
		role := ""
		if r.role != 0 {
			role = r.role.String()
		}
		if o.Role != role {
			t.Errorf("%s needs the role %q, the document says %q", name, role, o.Role)
		}
		if got, want := security(o), map[access]string{nobody: "", members: "memberCertificate", persons: "personCertificate+token", anybody: "memberCertificate personCertificate+token"}[r.access]; got != want {
			t.Errorf("%s is for %q, the document says %q", name, want, got)
		}
		if withoutBody := map[string]bool{"confirm": true, "cancel": true}[r.path[strings.LastIndexByte(r.path, '/')+1:]]; (o.Body != nil) != (r.most > 0 && !withoutBody) {
			t.Errorf("%s: body %v, the document says %v", name, r.most > 0, o.Body != nil)
		}
		if _, ok := o.Responses[fmt.Sprint(max(r.status, 200))]; !ok {
			t.Errorf("%s answers with %d, the document says %v", name, max(r.status, 200), o.Responses)
		}
		if _, ok := o.Responses["default"]; !ok {
			t.Errorf("%s: the document does not say how it is refused", name)
		}
	}
	for path, item := range doc.Paths {
		for method := range item {
			if name := strings.ToUpper(method) + " " + path; method != "parameters" && !seen[name] {
				t.Errorf("the document has %s, and there is no such route", name)
			}
		}
	}
}

func security(o operation) string {
	var all []string
	for _, s := range o.Security {
		var names []string
		for n := range s {
			names = append(names, n)
		}
		slices.Sort(names)
		all = append(all, strings.Join(names, "+"))
	}
	return strings.Join(all, " ")
}
