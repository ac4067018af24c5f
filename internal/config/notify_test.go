// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

func parsed(t *testing.T, notify string) *Cluster {
	t.Helper()
	c, err := Parse("cluster.yaml", []byte(sound+"notify: "+notify+"\n"))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestNotify(t *testing.T) {
	plain, err := Parse("cluster.yaml", []byte(sound))
	if err != nil {
		t.Fatal(err)
	}
	if want := (Notify{Journald: Journald{JournaldAuto, SeverityInfo}}); !reflect.DeepEqual(plain.Notify, want) {
		t.Errorf("without the section: %+v", plain.Notify)
	}
	for text, want := range map[string]Notify{
		`{journald: false}`:                              {Journald: Journald{JournaldOff, SeverityInfo}},
		`{journald: {use: true, severity: error}}`:       {Journald: Journald{JournaldOn, SeverityError}},
		`{syslog: {address: "udp://[2001:db8::9]:514"}}`: {Journald: Journald{JournaldAuto, SeverityInfo}, Syslog: []Syslog{{"udp", "[2001:db8::9]:514", 3, SeverityInfo}}},
		`{syslog: [{address: "tcp://logs.example:601", facility: local3, severity: warning}, {address: "unix:///dev/log"}]}`: {
			Journald: Journald{JournaldAuto, SeverityInfo},
			Syslog:   []Syslog{{"tcp", "logs.example:601", 19, SeverityWarning}, {"unixgram", "/dev/log", 3, SeverityInfo}}},
		`{snmp: {version: 2c, targets: ["192.0.2.9:162"], community: gateways, inform: true}}`: {Journald: Journald{JournaldAuto, SeverityInfo},
			SNMP: &SNMP{Version: "2c", Targets: []string{"192.0.2.9:162"}, Inform: true, Community: "gateways", SecretsFile: "notify.secrets", Severity: SeverityInfo}},
		`{snmp: {version: 3, targets: ["192.0.2.9:162"], user: holdfast, priv: none}}`: {Journald: Journald{JournaldAuto, SeverityInfo},
			SNMP: &SNMP{Version: "3", Targets: []string{"192.0.2.9:162"}, User: "holdfast", Auth: "SHA-256", SecretsFile: "notify.secrets", Severity: SeverityInfo}},
	} {
		c := parsed(t, text)
		if !reflect.DeepEqual(c.Notify, want) {
			t.Errorf("%s: %+v, want %+v", text, c.Notify, want)
		}
		if c.Digest() != plain.Digest() {
			t.Errorf("%s: a member's own receivers changed the digest of the cluster", text)
		}
		live, refused := Diff(plain, c)
		if len(live) != 1 || len(refused) != 0 {
			t.Errorf("%s: live %v, refused %v", text, live, refused)
		}
	}
	a := parsed(t, `{snmp: {version: 2c, targets: ["192.0.2.9:162"], community: secret-one}}`)
	b := parsed(t, `{snmp: {version: 2c, targets: ["192.0.2.9:162"], community: secret-two}}`)
	if live, _ := Diff(a, b); len(live) != 1 || strings.Contains(fmt.Sprint(live), "secret") {
		t.Errorf("a changed community: %v", live)
	}
}

func TestSecrets(t *testing.T) {
	three := &SNMP{Version: "3", Auth: "SHA-256", Priv: "AES"}
	for _, k := range []struct {
		name string
		s    *SNMP
		text string
		mode os.FileMode
		want Secrets
		says string
	}{
		{"v3", three, "# for the managers\nauth-passphrase: auth : word \n\npriv-passphrase:priv word\n", 0o600, Secrets{AuthPassphrase: "auth : word", PrivPassphrase: "priv word"}, ""},
		{"community", &SNMP{Version: "2c"}, "community: c", 0o400, Secrets{Community: "c"}, ""},
		{"inline", &SNMP{Version: "2c", Community: "c"}, "", 0o644, Secrets{Community: "c"}, ""},
		{"no authentication", &SNMP{Version: "3"}, "", 0o644, Secrets{}, ""},
		{"nothing at all", nil, "", 0o644, Secrets{}, ""},
		{"mode", three, "auth-passphrase: secret-word", 0o640, Secrets{}, "mode 0640: others than its owner can use it; chmod 0600"},
		{"short", three, "auth-passphrase: secret", 0o600, Secrets{}, "no auth-passphrase of at least 8 characters; add a line auth-passphrase: ..."},
		{"one lacks", three, "auth-passphrase: secret-word", 0o600, Secrets{}, "no priv-passphrase"},
		{"twice", three, "auth-passphrase: secret-word\nauth-passphrase: secret-word", 0o600, Secrets{}, "line 2 is not one of the secrets, or is there twice"},
		{"unknown", three, "passphrase: secret-word", 0o600, Secrets{}, "line 1 is not one of the secrets"},
		{"no colon", three, "secret-word", 0o600, Secrets{}, "line 1 is not one of the secrets"},
	} {
		path := filepath.Join(t.TempDir(), "notify.secrets")
		if err := os.WriteFile(path, []byte(k.text), k.mode); err != nil {
			t.Fatal(err)
		}
		if k.s != nil {
			k.s.SecretsFile = path
		}
		got, err := k.s.LoadSecrets()
		if got != k.want || (err == nil) != (k.says == "") || err != nil && !strings.Contains(err.Error(), k.says) {
			t.Errorf("%s: %#v %v", k.name, [3]string{got.Community, got.AuthPassphrase, got.PrivPassphrase}, err)
		}
		if err != nil && strings.Contains(err.Error(), "secret-word") || strings.Contains(fmt.Sprintf("%v %+v %#v", got, got, got), "word") {
			t.Errorf("%s: a secret is shown: %v", k.name, err)
		}
	}
}

// TestLoadChecksSecrets holds the file to the same rule as the key.
func TestLoadChecksSecrets(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "cluster.yaml")
	text := sound + "notify: {snmp: {version: 3, targets: [\"192.0.2.9:162\"], user: holdfast}}\n"
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	key, err := GenerateKey(1, strings.NewReader(strings.Repeat("k", KeySize)))
	if err == nil {
		err = WriteKeys(filepath.Join(dir, "cluster.key"), []Key{key})
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Load(path); err == nil || !strings.Contains(err.Error(), "notify.snmp.secrets-file: "+filepath.Join(dir, "notify.secrets")[:20]) ||
		!strings.Contains(err.Error(), "no such file") {
		t.Errorf("without the file: %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "notify.secrets"), []byte("auth-passphrase: 12345678\npriv-passphrase: 12345678\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if s, err := c.Notify.SNMP.LoadSecrets(); err != nil || s.AuthPassphrase != "12345678" {
		t.Errorf("%v", err)
	}
}
