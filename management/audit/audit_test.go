// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/holdfast-project/holdfast/policy"
)

func chain(t testing.TB, n int) []Entry {
	t.Helper()
	var all []Entry
	var last Anchor
	for i := range n {
		e, err := Append(last, fmt.Appendf(nil, `{ "action": "a%d" }`, i))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, e)
		last = e.Anchor()
	}
	return all
}

func verify(all []Entry, head Anchor, anchors ...Anchor) error {
	v := NewVerifier(Anchor{}, anchors...)
	for _, e := range all {
		if err := v.Next(e); err != nil {
			return err
		}
	}
	_, err := v.End(head)
	return err
}

// rewrite makes a chain that is right in itself, from entry i on.
func rewrite(t testing.TB, all []Entry, i int) []Entry {
	t.Helper()
	for ; i < len(all); i++ {
		var last Anchor
		if i > 0 {
			last = all[i-1].Anchor()
		}
		e, err := Append(last, all[i].Body)
		if err != nil {
			t.Fatal(err)
		}
		all[i] = e
	}
	return all
}

func TestVerify(t *testing.T) {
	const n = 9
	good := chain(t, n)
	head := good[n-1].Anchor()
	for name, c := range map[string]struct {
		change  func([]Entry) []Entry
		anchors []Anchor
		broken  uint64 // 0: not
	}{
		"as written":                {func(e []Entry) []Entry { return e }, []Anchor{good[3].Anchor(), head}, 0},
		"a body":                    {func(e []Entry) []Entry { e[4].Body = json.RawMessage(`{"action":"other"}`); return e }, nil, 5},
		"a body with its hash":      {func(e []Entry) []Entry { e[4].Body = json.RawMessage(`{}`); e[4].Hash = e[4].sum(); return e }, nil, 6},
		"the last with its hash":    {func(e []Entry) []Entry { e[8].Body = json.RawMessage(`{}`); e[8].Hash = e[8].sum(); return e }, nil, 10},
		"spaces":                    {func(e []Entry) []Entry { e[0].Body = json.RawMessage(`{ "action":"a0"}`); return e }, nil, 1},
		"a number":                  {func(e []Entry) []Entry { e[2].Number = 2; return e }, nil, 3},
		"removed":                   {func(e []Entry) []Entry { return slices.Delete(e, 5, 6) }, nil, 6},
		"the first removed":         {func(e []Entry) []Entry { return e[1:] }, nil, 1},
		"the end cut off":           {func(e []Entry) []Entry { return e[:7] }, nil, 8},
		"everything gone":           {func(e []Entry) []Entry { return nil }, nil, 1},
		"put in":                    {func(e []Entry) []Entry { return slices.Insert(e, 3, e[2]) }, nil, 4},
		"exchanged":                 {func(e []Entry) []Entry { e[3], e[4] = e[4], e[3]; return e }, nil, 4},
		"the previous one's hash":   {func(e []Entry) []Entry { e[3].Previous[0] ^= 1; e[3].Hash = e[3].sum(); return e }, nil, 4},
		"written anew":              {func(e []Entry) []Entry { e[4].Body = json.RawMessage(`{}`); return rewrite(t, e, 4) }, nil, 10},
		"written anew, anchor seen": {func(e []Entry) []Entry { e[4].Body = json.RawMessage(`{}`); return rewrite(t, e, 4) }, []Anchor{good[6].Anchor()}, 7},
		"an anchor that is no more": {func(e []Entry) []Entry { return e }, []Anchor{{Number: 12}}, 10},
	} {
		err := verify(c.change(slices.Clone(good)), head, c.anchors...)
		var broken *BrokenError
		switch {
		case c.broken == 0:
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
		case !errors.As(err, &broken) || !errors.Is(err, ErrBroken) || broken.Number != c.broken:
			t.Errorf("%s: %v; it is to be broken at %d", name, err, c.broken)
		}
	}
	// Whoever rewrites the end and the head's record needs an anchor to be found.
	anew := slices.Clone(good)
	anew[4].Body = json.RawMessage(`{}`)
	anew = rewrite(t, anew, 4)
	if err := verify(anew, anew[n-1].Anchor()); err != nil {
		t.Errorf("a chain that is right in itself: %v", err)
	}
	if err := verify(anew, anew[n-1].Anchor(), good[8].Anchor()); !errors.Is(err, ErrBroken) {
		t.Errorf("a chain written anew, and its end was noted: %v", err)
	}
}

// A number that is left out is a missing entry, however right the hashes are.
func TestNumbersHaveNoGaps(t *testing.T) {
	all := chain(t, 3)
	e, err := Append(Anchor{Number: 4, Hash: all[2].Hash}, []byte("{}"))
	if err != nil {
		t.Fatal(err)
	}
	var broken *BrokenError
	if err := verify(append(all, e), e.Anchor()); !errors.As(err, &broken) || broken.Number != 4 {
		t.Errorf("entry 5 follows 3: %v", err)
	}
}

func TestVerifyFromTheMiddle(t *testing.T) {
	good := chain(t, 5)
	v := NewVerifier(good[1].Anchor())
	for _, e := range good[2:] {
		if err := v.Next(e); err != nil {
			t.Fatal(err)
		}
	}
	if end, err := v.End(good[4].Anchor()); err != nil || end != good[4].Anchor() {
		t.Error(end, err)
	}
}

// fixed is the SHA-256 of "holdfast audit log, version 1\0", 42, the digest 01 00..., 14, and the body; numbers in 8 bytes, big-endian. Not this program made it.
const fixed = "a163f63dd96c28444d29143b1d078198ff86b9f977f7679e2fcc4fd9d47f0e3a"

// The form of the hash is what logs are verified by in years to come.
func TestHashIsFixed(t *testing.T) {
	e, err := Append(Anchor{Number: 41, Hash: policy.Digest{1}}, []byte(`{"action":"x"}`))
	if err != nil {
		t.Fatal(err)
	}
	if want := "42:"; !strings.HasPrefix(e.Anchor().String(), want) || e.Hash.String() != fixed {
		t.Errorf("%s", e.Anchor())
	}
	b, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	var back Entry
	if err := json.Unmarshal(b, &back); err != nil || NewVerifier(Anchor{Number: 41, Hash: policy.Digest{1}}).Next(back) != nil {
		t.Errorf("after JSON it is another: %s, %v", b, err)
	}
}

func TestAppendRefuses(t *testing.T) {
	for name, body := range map[string]string{"no JSON": "{", "too long": `"` + strings.Repeat("a", MaxBody) + `"`} {
		if _, err := Append(Anchor{}, []byte(body)); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
}

func TestAnchorText(t *testing.T) {
	want := Anchor{Number: 7, Hash: policy.Digest{1, 2}}
	if got, err := ParseAnchor(want.String()); got != want || err != nil {
		t.Error(got, err)
	}
	for _, text := range []string{"", "7", "7:", ":00", "0:" + want.Hash.String(), "-1:" + want.Hash.String(), "7:" + want.Hash.String() + "00"} {
		if _, err := ParseAnchor(text); !errors.Is(err, ErrAnchor) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func FuzzVerifyJSON(f *testing.F) {
	b, _ := json.Marshal(chain(f, 2))
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		var all []Entry
		if json.Unmarshal(b, &all) != nil || len(all) == 0 {
			return
		}
		// What verifies is what Append would have made: nothing else has these hashes.
		if verify(all, all[len(all)-1].Anchor()) != nil {
			return
		}
		var last Anchor
		for _, e := range all {
			again, err := Append(last, e.Body)
			if err != nil {
				return // no JSON within the length, which no log holds
			}
			if string(again.Body) == string(e.Body) && again.Hash != e.Hash {
				t.Fatalf("entry %d verifies and is not what was appended", e.Number)
			}
			last = e.Anchor()
		}
	})
}
