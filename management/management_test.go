// SPDX-License-Identifier: Apache-2.0

package management

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
)

func TestClusterValidate(t *testing.T) {
	good := Cluster{Name: "paris", ID: 7, Members: []string{"gw-a", "gw-b"}, Config: []byte("x")}
	for name, c := range map[string]struct {
		change func(*Cluster)
		fault  string // "": none
	}{
		"good":          {func(*Cluster) {}, ""},
		"no name":       {func(c *Cluster) { c.Name = "" }, `cluster ""`},
		"path":          {func(c *Cluster) { c.Name = "a/b" }, `cluster "a/b"`},
		"key of ours":   {func(c *Cluster) { c.Name = "!state" }, `cluster "!state"`},
		"long":          {func(c *Cluster) { c.Name = strings.Repeat("a", 64) }, "1 to 63"},
		"longest":       {func(c *Cluster) { c.Name = strings.Repeat("a", 63) }, ""},
		"dash":          {func(c *Cluster) { c.Name = "-rf" }, `cluster "-rf"`},
		"newline":       {func(c *Cluster) { c.Name = "paris\n" }, `"paris\n"`},
		"no id":         {func(c *Cluster) { c.ID = 0 }, "id 0"},
		"no members":    {func(c *Cluster) { c.Members = nil }, "no members"},
		"member":        {func(c *Cluster) { c.Members = []string{"gw a"} }, `member "gw a"`},
		"member twice":  {func(c *Cluster) { c.Members = []string{"gw-a", "gw-a"} }, "twice"},
		"no config":     {func(c *Cluster) { c.Config = nil }, "0 bytes"},
		"large config":  {func(c *Cluster) { c.Config = make([]byte, MaxConfig+1) }, "262145 bytes"},
		"larger config": {func(c *Cluster) { c.Config = make([]byte, MaxConfig) }, ""},
	} {
		cluster := good
		c.change(&cluster)
		err := cluster.Validate()
		if (err == nil) != (c.fault == "") || err != nil && (!errors.Is(err, ErrValue) || !strings.Contains(err.Error(), c.fault)) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestNumbers(t *testing.T) {
	members := []string{"a", "b", "c"}
	type report struct {
		member              string
		generation, attempt uint64
	}
	for name, c := range map[string]struct {
		n       Numbers
		epoch   uint64
		reports []report
		want    Numbers
		missing []string
	}{
		"nothing new":          {Numbers{Generation: 5, Attempt: 9}, 0, []report{{"a", 5, 9}, {"b", 0, 0}}, Numbers{Generation: 5, Attempt: 9}, nil},
		"a member knows more":  {Numbers{Generation: 5, Attempt: 9}, 0, []report{{"a", 6, 9}}, Numbers{Generation: 6, Attempt: 9, Unsure: true, Heard: []string{"a"}}, []string{"b", "c"}},
		"the last has more":    {Numbers{Generation: 5}, 0, []report{{"c", 6, 0}, {"a", 7, 0}, {"b", 8, 3}}, Numbers{Generation: 8, Attempt: 3}, nil},
		"a higher attempt":     {Numbers{Attempt: 9}, 0, []report{{"a", 0, 10}}, Numbers{Attempt: 10, Unsure: true, Heard: []string{"a"}}, []string{"b", "c"}},
		"restored":             {Numbers{Generation: 5, Attempt: 9}, 1, nil, Numbers{Generation: 5, Attempt: 9, Epoch: 1, Unsure: true}, members},
		"restored, one came":   {Numbers{Generation: 5, Attempt: 9}, 1, []report{{"b", 1, 1}, {"b", 1, 1}}, Numbers{Generation: 5, Attempt: 9, Epoch: 1, Unsure: true, Heard: []string{"b"}}, []string{"a", "c"}},
		"restored, all came":   {Numbers{Generation: 5, Attempt: 9}, 1, []report{{"b", 1, 1}, {"a", 7, 7}, {"c", 5, 10}}, Numbers{Generation: 7, Attempt: 10, Epoch: 1}, nil},
		"heard before restore": {Numbers{Generation: 5, Unsure: true, Heard: []string{"a", "b"}}, 1, []report{{"c", 5, 0}}, Numbers{Generation: 5, Epoch: 1, Unsure: true, Heard: []string{"c"}}, []string{"a", "b"}},
	} {
		n := c.n.At(c.epoch)
		for _, r := range c.reports {
			n, _ = n.Reported(r.member, members, r.generation, r.attempt)
		}
		if !reflect.DeepEqual(n, c.want) || !reflect.DeepEqual(n.Missing(members), c.missing) {
			t.Errorf("%s: %+v, missing %v", name, n, n.Missing(members))
		}
	}
}

func TestPhases(t *testing.T) {
	allowed := map[[2]Phase]bool{{Preparing, Committed}: true, {Preparing, Aborted}: true, {Committed, Confirmed}: true, {Committed, RolledBack}: true}
	for from := range phases {
		for to := range phases {
			a := Attempt{Phase: from, Cluster: "c", Number: 1, Decided: 5}
			after, changed, err := a.Move(to, "why", []Reply{{Member: "m"}}, 9)
			switch {
			case from == to:
				if changed || err != nil || !reflect.DeepEqual(a, after) {
					t.Errorf("%v again: %v, %v", from, changed, err)
				}
			case allowed[[2]Phase{from, to}]:
				if !changed || err != nil || after.Phase != to || after.Why != "why" || len(after.Replies) != 1 || (after.Settled == 9) != to.Over() || after.Decided != 5 {
					t.Errorf("%v to %v: %+v, %v", from, to, after, err)
				}
			default:
				if changed || !errors.Is(err, ErrDecided) || !reflect.DeepEqual(a, after) {
					t.Errorf("%v to %v: %v, %v", from, to, changed, err)
				}
			}
		}
	}
}

func TestRoles(t *testing.T) {
	for _, c := range []struct {
		has, needs Role
		want       bool
	}{{Admin, Viewer, true}, {Admin, Admin, true}, {Operator, Admin, false}, {Viewer, Operator, false}, {Viewer, Viewer, true}, {0, Viewer, false}, {Admin, 0, false}} {
		if c.has.Includes(c.needs) != c.want {
			t.Errorf("%v includes %v: %v", c.has, c.needs, !c.want)
		}
	}
	if r, err := ParseRole("operator"); r != Operator || err != nil {
		t.Errorf("operator: %v, %v", r, err)
	}
	if _, err := ParseRole("root"); !errors.Is(err, ErrValue) || !strings.Contains(err.Error(), "admin, operator, viewer") {
		t.Errorf("root: %v", err)
	}
}

func TestWordsInJSON(t *testing.T) {
	in := Attempt{Cluster: "c", Number: 3, Phase: RolledBack, Policy: Ref{Generation: 7}, Replies: []Reply{{Member: "m", State: MemberLeft}}}
	b, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"phase":"rolled-back"`, `"state":"left-out"`, `"digest":"` + strings.Repeat("0", 64) + `"`} {
		if !strings.Contains(string(b), want) {
			t.Errorf("%s is missing in %s", want, b)
		}
	}
	var out Attempt
	if err := json.Unmarshal(b, &out); err != nil || !reflect.DeepEqual(in, out) {
		t.Errorf("%+v, %v", out, err)
	}
	for _, v := range []any{Phase(0), Role(9), TokenKind(0), ActorKind(0), Outcome(0), CertificateKind(7), ReplyState(99)} {
		if _, err := json.Marshal(v); !errors.Is(err, ErrValue) {
			t.Errorf("%T %v has a word: %v", v, v, err)
		}
	}
}

func TestTokens(t *testing.T) {
	id, text, hash, err := NewSecret(bytes.NewReader(bytes.Repeat([]byte{7}, 64)))
	if err != nil || !strings.HasPrefix(text, "hfmt_"+id+"_") {
		t.Fatalf("%s %s %v", id, text, err)
	}
	if got, err := TokenID(text); got != id || err != nil {
		t.Errorf("its identifier is %s, %v", got, err)
	}
	for _, bad := range []string{"", "hfmt", "hfmt_" + id, "xxxx_" + id + "_s", "hfmt_00_s", "hfmt_" + strings.Repeat("z", 12) + "_s", text + strings.Repeat("s", 128)} {
		if _, err := TokenID(bad); !errors.Is(err, ErrTokenUnknown) || len(bad) > 20 && strings.Contains(err.Error(), bad) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if _, _, _, err := NewSecret(strings.NewReader("too little")); err == nil {
		t.Error("a secret of too little randomness")
	}
	good := Token{ID: id, Kind: MemberToken, Hash: hash, Expires: 100}
	for name, c := range map[string]struct {
		change func(*Token)
		text   string
		kind   TokenKind
		now    int64
		want   error
	}{
		"good":               {func(*Token) {}, text, MemberToken, 99, nil},
		"expired":            {func(*Token) {}, text, MemberToken, 100, ErrTokenExpired},
		"used":               {func(t *Token) { t.Used = 1 }, text, MemberToken, 99, ErrTokenUsed},
		"revoked":            {func(t *Token) { t.Revoked = 1 }, text, MemberToken, 99, ErrTokenRevoked},
		"for something else": {func(*Token) {}, text, PersonToken, 99, ErrTokenUnknown},
		"another secret":     {func(*Token) {}, text[:len(text)-1] + "A", MemberToken, 99, ErrTokenUnknown},
		"used again":         {func(t *Token) { t.Kind, t.Used = PersonToken, 1 }, text, PersonToken, 99, nil},
		"wrong, and expired": {func(*Token) {}, "hfmt_" + id + "_x", MemberToken, 100, ErrTokenUnknown},
	} {
		token := good
		c.change(&token)
		if err := token.Check(c.text, c.kind, c.now); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
