// SPDX-License-Identifier: Apache-2.0

package control_test

import (
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/holdfast-project/holdfast/internal/control"
)

// TestReferenceHasEveryPathAndField holds docs/API.md to its word.
func TestReferenceHasEveryPathAndField(t *testing.T) {
	text, err := os.ReadFile("../../docs/API.md")
	if err != nil {
		t.Fatal(err)
	}
	handler, err := os.ReadFile("handler.go")
	if err != nil {
		t.Fatal(err)
	}
	comment, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	paths := regexp.MustCompile(`\b(get|post|order)\(s, mux, "([a-z/]+)"`).FindAllStringSubmatch(string(handler), -1)
	if len(paths) < 15 {
		t.Errorf("only %d paths found", len(paths))
	}
	for _, p := range paths {
		method := "POST"
		if p[1] == "get" {
			method = "GET"
		}
		if want := "`" + method + " /v1/" + p[2] + "`"; !strings.Contains(string(text), want) {
			t.Errorf("docs/API.md does not have %s", want)
		}
		if !regexp.MustCompile(method + `.*[ /]` + p[2] + `\b`).Match(comment) {
			t.Errorf("doc.go does not have %s /v1/%s", method, p[2])
		}
	}
	seen := map[reflect.Type]bool{}
	for _, v := range []any{control.State{}, control.Interfaces{}, control.Devices{}, control.VIPs{}, control.Failovers{}, control.History{},
		control.Timers{}, control.Why{}, control.Counters{}, control.Sync{}, control.SyncStats{}, control.SyncVerify{}, control.SyncVerifyRequest{}, control.Load{}, control.LoadDefines{}, control.LoadWeightRequest{}, control.Policy{}, control.PolicyHistory{}, control.Which{}, control.WhichRequest{},
		control.Event{}, control.Error{}, control.Result{}, control.ReloadResult{},
		control.FailoverRequest{}, control.ResetRequest{}, control.AdminRequest{}, control.DevicesRequest{}, control.FreezeRequest{}} {
		for field, of := range fields(reflect.TypeOf(v), seen) {
			if !regexp.MustCompile("[`\"]" + field + "[`\"]").Match(text) {
				t.Errorf("docs/API.md does not have the field %s of %s", field, of)
			}
		}
	}
}

// fields returns the names that a type and all within it have in JSON, each with the type it is in.
func fields(typ reflect.Type, seen map[reflect.Type]bool) map[string]string {
	for typ.Kind() == reflect.Slice || typ.Kind() == reflect.Map || typ.Kind() == reflect.Pointer {
		typ = typ.Elem()
	}
	all := map[string]string{}
	if typ.Kind() != reflect.Struct || seen[typ] {
		return all
	}
	seen[typ] = true
	for i := range typ.NumField() {
		if name, _, _ := strings.Cut(typ.Field(i).Tag.Get("json"), ","); name != "" {
			all[name] = typ.Name()
		}
		for name, of := range fields(typ.Field(i).Type, seen) {
			all[name] = of
		}
	}
	return all
}
