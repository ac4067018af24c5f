// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/holdfast-project/holdfast/internal/control/controltest"
)

func TestDeviceFiles(t *testing.T) {
	many := strings.Builder{}
	for i := range 513 {
		fmt.Fprintf(&many, "d%d 0 ok\n", i)
	}
	for _, k := range []struct {
		name, text string
		asked      []string // "" for a refusal
		says       string
	}{
		{"all forms", "# the database\ndb 30s init\n\n  web\t5 ok # seconds\nbatch 0 problem\n", []string{
			"device register db init timeout 30s persistent true: ", "device register web ok timeout 5s persistent true: ",
			"device register batch problem timeout 0s persistent true: "}, ""},
		{"one wrong line", "db 30s init\nweb 5s\n", nil, ":2: 2 words; write name, timeout and state"},
		{"state", "db 30s well\n", nil, `:1: status "well"; choose ok, init, problem`},
		{"timeout", "db soon ok\n", nil, `:1: timeout "soon"; write 5s, 1m`},
		{"negative timeout", "db -5 ok\n", nil, ":1: timeout -5s; choose 100ms to 24h"},
		{"a name of other letters", "d\x01b 5 ok\n", nil, ":1: device name"},
		{"twice", "db 5 ok\n\ndb 6 ok\n", nil, ":3: device db is listed in line 1 already; keep one of the lines"},
		{"all mistakes at once", "a\nb\n", nil, ":2: 1 words"},
		{"nothing", "# nothing\n", nil, "lists no device"},
		{"too many", many.String(), nil, "a member has 512 at most"},
	} {
		t.Run(k.name, func(t *testing.T) {
			b := edge()
			socket, _ := controltest.Serve(t, b)
			path := filepath.Join(t.TempDir(), "devices")
			if err := os.WriteFile(path, []byte(k.text), 0o600); err != nil {
				t.Fatal(err)
			}
			_, errs, code := invoke(t.Context(), t, socket, false, "holdfast", "devices", "register", "--persist", "-f", path)
			if got := strings.Join(b.Requests(), "\n"); got != strings.Join(k.asked, "\n") {
				t.Errorf("asked for\n%s", got)
			}
			if want := len(k.asked) == 0; want != (code == 1) || !strings.Contains(errs, k.says) || want && k.says[0] == ':' && !strings.Contains(errs, path+k.says) {
				t.Errorf("exit code %d, said %q, want %q", code, errs, k.says)
			}
		})
	}
	b := edge()
	socket, _ := controltest.Serve(t, b)
	if _, errs, code := invoke(t.Context(), t, socket, false, "cphaprob", "-a", "-p", "unregister"); code != 0 || strings.Join(b.Requests(), "\n") !=
		"device unregister db  timeout 0s persistent true: \ndevice unregister batch  timeout 0s persistent true: " {
		t.Errorf("%d %s %q: built-in and monitored devices are not the operator's to unregister", code, errs, b.Requests())
	}
}
