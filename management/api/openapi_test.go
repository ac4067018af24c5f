// SPDX-License-Identifier: Apache-2.0

package api

import (
	"encoding"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/holdfast-project/holdfast/management"
)

// schema is as much of one as the document uses.
type schema struct {
	Ref        string            `yaml:"$ref"`
	Type       string            `yaml:"type"`
	Format     string            `yaml:"format"`
	Items      *schema           `yaml:"items"`
	Extra      *schema           `yaml:"additionalProperties"`
	Required   []string          `yaml:"required"`
	Properties map[string]schema `yaml:"properties"`
}

// types are the Go types behind the schemas.
var types = map[string]any{
	"Error": Error{}, "Done": Done{}, "EnrollRequest": EnrollRequest{}, "RenewRequest": RenewRequest{}, "Enrolment": Enrolment{}, "Report": Report{}, "Offer": Offer{},
	"AttemptState": AttemptState{}, "PeerReport": PeerReport{}, "Orders": Orders{}, "Order": Order{}, "Self": Self{}, "Cluster": Cluster{}, "ClusterRequest": ClusterRequest{},
	"NumbersRequest": NumbersRequest{}, "Member": Member{}, "TokenRequest": TokenRequest{}, "TokenGranted": TokenGranted{}, "RevokeRequest": RevokeRequest{}, "Policy": Policy{},
	"Diff": Diff{}, "Change": Change{}, "LineChange": LineChange{}, "InstallRequest": InstallRequest{}, "RollbackRequest": RollbackRequest{}, "InstallLine": InstallLine{},
	"Checked": Checked{}, "Install": Install{}, "InstallMember": InstallMember{}, "User": User{}, "UserRequest": UserRequest{}, "Token": Token{}, "Certificate": Certificate{},
	"AuditEntry": AuditEntry{}, "AuditVerified": AuditVerified{}, "Event": management.Event{}, "Actor": management.Actor{},
}

// TestSchemas compares the document with the types that are sent: names, kinds, and what is always there.
func TestSchemas(t *testing.T) {
	var doc struct {
		Components struct {
			Schemas map[string]schema `yaml:"schemas"`
		} `yaml:"components"`
	}
	if err := yaml.Unmarshal(Document(), &doc); err != nil {
		t.Fatal(err)
	}
	for name := range doc.Components.Schemas {
		if types[name] == nil {
			t.Errorf("the document has the schema %s, and no type is behind it", name)
		}
	}
	for name, v := range types {
		s, ok := doc.Components.Schemas[name]
		if !ok {
			t.Errorf("the document lacks the schema %s", name)
			continue
		}
		fields := map[string]reflect.Type{}
		var required []string
		collect(reflect.TypeOf(v), fields, &required)
		slices.Sort(required)
		slices.Sort(s.Required)
		if !slices.Equal(required, s.Required) {
			t.Errorf("%s: required is %v, the type has %v", name, s.Required, required)
		}
		if got, want := slices.Sorted(maps.Keys(s.Properties)), slices.Sorted(maps.Keys(fields)); !slices.Equal(got, want) {
			t.Errorf("%s: properties are %v, the type has %v", name, got, want)
			continue
		}
		for field, typ := range fields {
			if got, want := shape(s.Properties[field]), kind(typ); got != want {
				t.Errorf("%s.%s is %s in the document and %s in the type", name, field, got, want)
			}
		}
	}
}

func collect(t reflect.Type, fields map[string]reflect.Type, required *[]string) {
	for i := range t.NumField() {
		f := t.Field(i)
		if f.Anonymous {
			collect(f.Type, fields, required)
			continue
		}
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		fields[name] = f.Type
		if !strings.Contains(options, "omitempty") {
			*required = append(*required, name)
		}
	}
}

func shape(s schema) string {
	switch {
	case s.Ref != "":
		return s.Ref[strings.LastIndexByte(s.Ref, '/')+1:]
	case s.Type == "array":
		return "[" + shape(*s.Items) + "]"
	case s.Type == "object":
		return "{" + shape(*s.Extra) + "}"
	case s.Format != "":
		return s.Format
	}
	return s.Type
}

func kind(t reflect.Type) string {
	switch {
	case t.Kind() == reflect.Pointer:
		return kind(t.Elem())
	case t == reflect.TypeFor[time.Time]():
		return "date-time"
	case t.Implements(reflect.TypeFor[encoding.TextMarshaler]()):
		return "string"
	}
	switch t.Kind() {
	case reflect.Struct:
		return t.Name()
	case reflect.Slice:
		return "[" + kind(t.Elem()) + "]"
	case reflect.Map:
		return "{" + kind(t.Elem()) + "}"
	case reflect.String:
		return "string"
	case reflect.Bool:
		return "boolean"
	default:
		return "integer"
	}
}

func TestGrant(t *testing.T) {
	_, token, _, err := management.NewSecret(strings.NewReader(strings.Repeat("x", 64)))
	if err != nil {
		t.Fatal(err)
	}
	g := Grant{Token: token, Fingerprint: Fingerprint([]byte("a certificate"))}
	if got, err := ParseGrant(g.String() + "\n"); err != nil || got != g {
		t.Errorf("%v, %v", got, err)
	}
	for _, text := range []string{"", token, token + ".", "." + g.Fingerprint, token + "." + g.Fingerprint[1:], token + "." + strings.ToUpper(g.Fingerprint), "secret." + g.Fingerprint} {
		if _, err := ParseGrant(text); err == nil || strings.Contains(err.Error(), "secret") || len(text) > 4 && strings.Contains(err.Error(), token) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestSameOrders(t *testing.T) {
	o := func(edit func(*Orders)) Orders {
		v := Orders{Serial: 1, Current: Offer{Generation: 2}, Attempt: &Order{Number: 3, Phase: PhaseCommit}, EveryMs: 4}
		edit(&v)
		return v
	}
	is := o(func(*Orders) {})
	for name, c := range map[string]struct {
		other Orders
		want  bool
	}{
		"a copy":  {o(func(*Orders) {}), true},
		"serial":  {o(func(v *Orders) { v.Serial = 9 }), false},
		"current": {o(func(v *Orders) { v.Current.Digest[31] = 1 }), false},
		"hold":    {o(func(v *Orders) { v.EveryMs = 9 }), false},
		"phase":   {o(func(v *Orders) { v.Attempt.Phase = PhaseAbort }), false},
		"none":    {o(func(v *Orders) { v.Attempt = nil }), false},
	} {
		if is.Same(c.other) != c.want || c.other.Same(is) != c.want {
			t.Errorf("%s: %v", name, !c.want)
		}
	}
	if none := (Orders{}); !none.Same(Orders{}) {
		t.Error("none and none")
	}
}

func TestReadGrant(t *testing.T) {
	for in, want := range map[string]string{"a.b\n": "a.b", " a.b": "a.b", "a.b\r\nrest\n": "a.b", "": "", "\n": "", strings.Repeat(" ", maxGrant) + "a.b\n": ""} {
		if got, err := ReadGrant(strings.NewReader(in)); got != want || (err == nil) != (want != "") {
			t.Errorf("%.20q: %q, %v", in, got, err)
		}
	}
	if _, err := ReadGrant(nil); err == nil {
		t.Error("it reads from nowhere")
	}
}

func TestErrorsHaveAStatus(t *testing.T) {
	for code, status := range statuses {
		if e := (&Error{Code: code}); e.Status() != status || status < 400 {
			t.Errorf("%s: %d", code, e.Status())
		}
	}
	if e := (&Error{Code: "new"}); e.Status() != 500 {
		t.Errorf("an unknown code: %d", e.Status())
	}
}
