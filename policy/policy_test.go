// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"bytes"
	"compress/flate"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"
)

// key is the one that RFC 8032 section 7.1 calls TEST 1, so that golden bytes do not depend on this program.
var key = func() ed25519.PrivateKey {
	seed, _ := hex.DecodeString("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
	return ed25519.NewKeyFromSeed(seed)
}()

var stranger = ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, ed25519.SeedSize))

func sample() *Bundle {
	return &Bundle{
		Cluster: 7, Generation: 42, Created: 1772582400, Author: "anna", Comment: "let the office in\nfor good", Origin: 40, File: "edge.nft",
		Ruleset: "table inet filter {\n\tset blocked { type ipv4_addr; }\n\tchain forward { type filter hook forward priority 0; policy drop; }\n}\n",
		Sync:    []SyncRule{{Service: "http", After: 3 * time.Second}, {Service: "dns", Never: true}, {Service: "tcp/8000-8100", After: 2 * time.Second}},
		Keep:    []Set{{"inet", "filter", "blocked"}, {"inet", "filter", "a"}}, Connections: RematchConnections,
	}
}

func seal(t testing.TB, b *Bundle) *Sealed {
	t.Helper()
	s, err := Seal(b, key)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func trust() Trust {
	return Trust{Cluster: 7, Keys: []ed25519.PublicKey{key.Public().(ed25519.PublicKey)}}
}

// large is a bundle of several pieces.
func large() *Bundle {
	b := sample()
	r := rand.New(rand.NewPCG(1, 2))
	var s strings.Builder
	for s.Len() < 5*PieceSize/2 {
		for range 60 {
			s.WriteByte(byte('a' + r.IntN(26)))
		}
		s.WriteByte('\n')
	}
	b.Ruleset = s.String()
	return b
}

func TestRoundTrip(t *testing.T) {
	for name, b := range map[string]*Bundle{
		"all":   sample(),
		"least": {Cluster: 1, Generation: 1, Ruleset: "x"},
		"large": large(),
	} {
		s := seal(t, b)
		file := s.Encode()
		got, err := Open(file, Trust{Keys: trust().Keys})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if want := b.canonical(); !reflect.DeepEqual(got.Bundle(), want) && name != "least" {
			t.Errorf("%s: got %+v, want %+v", name, got.Bundle(), want)
		}
		if !bytes.Equal(got.Encode(), file) || got.Head().Digest() != s.Head().Digest() {
			t.Errorf("%s: encoded again it is another", name)
		}
	}
}

func goldenBundle() *Bundle {
	return &Bundle{Cluster: 7, Generation: 2, Created: 1772582400, Author: "a", File: "f", Ruleset: "table ip t {}\n",
		Sync: []SyncRule{{Service: "dns", Never: true}}, Keep: []Set{{"ip", "t", "s"}}}
}

// The format is frozen: these bytes are what version 1 means. The hexadecimal head is docs/POLICY.md's example.
func TestGoldenBytes(t *testing.T) {
	s := seal(t, goldenBundle())
	if got, want := hex.EncodeToString(s.body), ""+
		"01"+"00000001"+"61"+ // author
		"04"+"00000001"+"66"+ // file
		"05"+"0000000e"+"7461626c65206970207420"+"7b7d0a"+ // ruleset
		"06"+"00000008"+"03"+"646e73"+"ffffffff"+ // synchronisation
		"07"+"00000007"+"02"+"6970"+"01"+"74"+"01"+"73"; got != want { // keep
		t.Errorf("body %s\nwant %s", got, want)
	}
	h := s.Head()
	pieces := sha256.Sum256(s.body)
	content := sha256.Sum256(s.body[12:])
	if got, want := hex.EncodeToString(h.signed()), "894846500d0a1a0a"+"0001"+"0007"+"0000000000000002"+"0000000069a776"+"00"+
		"00000038"+hex.EncodeToString(content[:])+hex.EncodeToString(pieces[:]); got != want {
		t.Errorf("head %s\nwant %s", got, want)
	}
	if got, want := h.Digest().String(), goldenDigest; got != want {
		t.Errorf("digest %s, want %s", got, want)
	}
	if got, want := hex.EncodeToString(h.Signature[:]), goldenSignature; got != want {
		t.Errorf("signature %s, want %s", got, want)
	}
}

// The same content has the same digest whatever the order it was given in, and whoever compressed it.
func TestCanonical(t *testing.T) {
	a, b := sample(), sample()
	b.Sync[0], b.Sync[2] = b.Sync[2], b.Sync[0]
	b.Keep[0], b.Keep[1] = b.Keep[1], b.Keep[0]
	sa, sb := seal(t, a), seal(t, b)
	if sa.Head().Digest() != sb.Head().Digest() {
		t.Error("the order of rules changes the digest")
	}
	b.Generation, b.Author, b.Origin, b.Comment, b.Created, b.File = 99, "other", 42, "back", 5, "g"
	if sb = seal(t, b); sb.Head().Content != sa.Head().Content || sb.Head().Digest() == sa.Head().Digest() {
		t.Error("a rollback has the content of what it goes back to, under another digest")
	}
	b.Connections = KeepConnections
	if sb = seal(t, b); sb.Head().Content == sa.Head().Content {
		t.Error("what becomes of connections is not in the content")
	}
	stored := sa.Head().Encode()
	piece := append([]byte{packedStored}, sa.body...)
	stored = append(binary.BigEndian.AppendUint32(stored, uint32(len(piece))), piece...)
	if got, err := Open(stored, trust()); err != nil || got.Head().Digest() != sa.Head().Digest() {
		t.Errorf("stored without compression: %v", err)
	}
}

func deflated(b []byte) []byte {
	var out bytes.Buffer
	out.WriteByte(packedDeflate)
	w, _ := flate.NewWriter(&out, flate.BestCompression)
	w.Write(b)
	w.Close()
	return out.Bytes()
}

// rebody makes a file of any body, signed by the right key: what a broken management could do.
func rebody(body []byte, change func(*Head)) []byte {
	h := &Head{Cluster: 7, Generation: 1, Length: len(body)}
	for at := 0; at < len(body); at += PieceSize {
		h.pieces = append(h.pieces, sha256.Sum256(body[at:min(at+PieceSize, len(body))]))
	}
	if i := bytes.IndexByte(body, sectionRuleset); i >= 0 {
		h.Content = sha256.Sum256(body[i:])
	}
	if change != nil {
		change(h)
	}
	h.sign(key)
	file := h.Encode()
	for at := 0; at < len(body); at += PieceSize {
		p := pack(body[at:min(at+PieceSize, len(body))])
		file = append(binary.BigEndian.AppendUint32(file, uint32(len(p))), p...)
	}
	return file
}

func TestHostile(t *testing.T) {
	good := seal(t, sample())
	file := good.Encode()
	headLen := len(good.Head().Encode())
	change := func(f func([]byte) []byte) []byte { return f(bytes.Clone(file)) }
	at := func(i int, v byte) []byte {
		return change(func(b []byte) []byte { b[i] = v; return b })
	}
	foreign := sample()
	foreign.Cluster = 8
	byStranger, _ := Seal(sample(), stranger)
	ruleset := "\x05\x00\x00\x00\x01x"
	bomb := make([]byte, 4<<20)
	for _, k := range []struct {
		name  string
		file  []byte
		trust Trust
		want  error
	}{
		{"empty", nil, trust(), ErrTruncated},
		{"one byte", file[:1], trust(), ErrTruncated},
		{"other file", []byte("table inet filter {}"), trust(), ErrMagic},
		{"text mode", bytes.Replace(file, []byte("\r\n"), []byte("\n"), 1), trust(), ErrMagic},
		{"head cut", file[:headLen-1], trust(), ErrTruncated},
		{"no piece", file[:headLen], trust(), ErrTruncated},
		{"half a piece", file[:len(file)-1], trust(), ErrTruncated},
		{"trailing", append(bytes.Clone(file), 0), trust(), ErrTrailing},
		{"version 2", at(9, 2), trust(), ErrVersion},
		{"wrong cluster", seal(t, foreign).Encode(), trust(), ErrCluster},
		{"another cluster's number", at(11, 9), Trust{Cluster: 9, Keys: trust().Keys}, ErrSignature},
		{"re-signed", byStranger.Encode(), trust(), ErrKey},
		{"no key", file, Trust{Cluster: 7}, ErrKey},
		{"unsigned", change(func(b []byte) []byte { clear(b[headLen-64 : headLen]); return b }), trust(), ErrSignature},
		{"the right key's name on a stranger's signature", change(func(b []byte) []byte {
			copy(b[headLen-64:], byStranger.head.Signature[:])
			return b
		}), trust(), ErrSignature},
		{"generation raised", at(19, 43), trust(), ErrSignature},
		{"created changed", at(27, 1), trust(), ErrSignature},
		{"content digest changed", at(40, file[40]+1), trust(), ErrSignature},
		{"piece digest changed", at(64, file[64]+1), trust(), ErrSignature},
		{"replayed", file, Trust{Cluster: 7, Keys: trust().Keys, Floor: 43}, ErrOlder},
		{"piece damaged", change(func(b []byte) []byte { b[headLen+60] ^= 1; return b }), trust(), ErrDigest},
		{"piece too long", change(func(b []byte) []byte { binary.BigEndian.PutUint32(b[headLen:], 1<<30); return b }), trust(), ErrOversized},
		{"body too long", change(func(b []byte) []byte { binary.BigEndian.PutUint32(b[28:], MaxBody+1); return b }), trust(), ErrOversized},
		{"no body", change(func(b []byte) []byte { binary.BigEndian.PutUint32(b[28:], 0); return b }), trust(), ErrOversized},
		{"generation 0", rebody([]byte(ruleset), func(h *Head) { h.Generation = 0 }), trust(), ErrContent},
		{"packing 2", at(headLen+4, 2), trust(), ErrVersion},
		{"unknown section", rebody([]byte(ruleset+"\x09\x00\x00\x00\x01x"), nil), trust(), ErrSection},
		{"section 0", rebody([]byte("\x00\x00\x00\x00\x01x"+ruleset), nil), trust(), ErrSection},
		{"repeated section", rebody([]byte(ruleset+ruleset), nil), trust(), ErrSection},
		{"sections out of order", rebody([]byte(ruleset+"\x01\x00\x00\x00\x01x"), nil), trust(), ErrSection},
		{"empty section", rebody([]byte("\x01\x00\x00\x00\x00"+ruleset), nil), trust(), ErrSection},
		{"section beyond the end", rebody([]byte("\x05\x00\x00\x00\x09x"), nil), trust(), ErrSection},
		{"half a section head", rebody([]byte(ruleset+"\x06\x00"), nil), trust(), ErrSection},
		{"no ruleset", rebody([]byte("\x01\x00\x00\x00\x01x"), nil), trust(), ErrContent},
		{"content digest wrong", rebody([]byte(ruleset), func(h *Head) { h.Content[0]++ }), trust(), ErrDigest},
		{"not UTF-8", rebody([]byte("\x05\x00\x00\x00\x01\xff"), nil), trust(), ErrContent},
		{"escape sequence", rebody([]byte("\x01\x00\x00\x00\x02\x1b["+ruleset), nil), trust(), ErrContent},
		{"author too long", rebody(append(append([]byte("\x01\x00\x00\x00\x81"), bytes.Repeat([]byte("a"), 129)...), ruleset...), nil), trust(), ErrOversized},
		{"rule of 5 ms", rebody([]byte(ruleset+"\x06\x00\x00\x00\x08\x03dns\x00\x00\x00\x05"), nil), trust(), ErrContent},
		{"rule cut off", rebody([]byte(ruleset+"\x06\x00\x00\x00\x04\x03dns"), nil), trust(), ErrSection},
		{"rules out of order", rebody([]byte(ruleset+"\x06\x00\x00\x00\x10\x03ntp\xff\xff\xff\xff\x03dns\xff\xff\xff\xff"), nil), trust(), ErrContent},
		{"65 rules", rebody([]byte(ruleset+"\x06\x00\x00\x02\x08"+strings.Repeat("\x03dns\xff\xff\xff\xff", 65)), nil), trust(), ErrSection},
		{"33 sets", rebody([]byte(ruleset+"\x07\x00\x00\x00\xe7"+strings.Repeat("\x02ip\x01t\x01s", 33)), nil), trust(), ErrSection},
		{"set cut off", rebody([]byte(ruleset+"\x07\x00\x00\x00\x05\x02ip\x01t"), nil), trust(), ErrSection},
		{"connections 0", rebody([]byte(ruleset+"\x08\x00\x00\x00\x01\x00"), nil), trust(), ErrSection},
		{"connections 2", rebody([]byte(ruleset+"\x08\x00\x00\x00\x01\x02"), nil), trust(), ErrContent},
		{"origin of the future", rebody([]byte("\x03\x00\x00\x00\x08\x00\x00\x00\x00\x00\x00\x00\x09"+ruleset), nil), trust(), ErrContent},
		{"bomb", func() []byte {
			p := deflated(bomb) // 4 MB of zeros in 4 KB
			f := rebody([]byte(ruleset), nil)
			h, n, _ := ParseHead(f)
			_ = h
			return append(binary.BigEndian.AppendUint32(f[:n], uint32(len(p))), p...)
		}(), trust(), ErrOversized},
		{"a piece with something behind it", func() []byte {
			f := rebody([]byte(ruleset), nil)
			_, n, _ := ParseHead(f)
			p := append(deflated([]byte(ruleset)), "more"...)
			return append(binary.BigEndian.AppendUint32(f[:n], uint32(len(p))), p...)
		}(), trust(), ErrTrailing},
	} {
		s, err := Open(k.file, k.trust)
		var f *FormatError
		if !errors.Is(err, k.want) || !errors.As(err, &f) || s != nil {
			t.Errorf("%s: %v, want %v", k.name, err, k.want)
		}
	}
}

func TestSealRefuses(t *testing.T) {
	for name, change := range map[string]func(*Bundle){
		"cluster 0":            func(b *Bundle) { b.Cluster = 0 },
		"generation 0":         func(b *Bundle) { b.Generation = 0 },
		"no ruleset":           func(b *Bundle) { b.Ruleset = "" },
		"a rule twice":         func(b *Bundle) { b.Sync = append(b.Sync, b.Sync[0]) },
		"a set twice":          func(b *Bundle) { b.Keep = append(b.Keep, b.Keep[0]) },
		"family ip5":           func(b *Bundle) { b.Keep[0].Family = "ip5" },
		"a directory":          func(b *Bundle) { b.File = "../x" },
		"a line in the author": func(b *Bundle) { b.Author = "a\nb" },
		"a terminal's bell":    func(b *Bundle) { b.Comment = "\a" },
		"a set with a space":   func(b *Bundle) { b.Keep[0].Name = "a b" },
		"large comment":        func(b *Bundle) { b.Comment = strings.Repeat("x", MaxComment+1) },
		"large ruleset":        func(b *Bundle) { b.Ruleset = strings.Repeat("x", MaxRuleset+1) },
		"many rules":           func(b *Bundle) { b.Sync = make([]SyncRule, MaxSync+1) },
		"many sets":            func(b *Bundle) { b.Keep = make([]Set, MaxKeep+1) },
		"connections":          func(b *Bundle) { b.Connections = 9 },
	} {
		b := sample()
		change(b)
		if _, err := Seal(b, key); !errors.Is(err, ErrContent) && !errors.Is(err, ErrOversized) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Seal(sample(), nil); !errors.Is(err, ErrKey) {
		t.Error(err)
	}
}

// A liar among those who send pieces changes nothing and is found at once.
func TestAssembler(t *testing.T) {
	s, other := seal(t, large()), large()
	other.Ruleset = strings.Repeat("z", len(other.Ruleset))
	liar := seal(t, other)
	h, _, err := ParseHead(s.Head().Encode())
	if err != nil {
		t.Fatal(err)
	}
	a := NewAssembler(h)
	if got := a.Missing(2); !reflect.DeepEqual(got, []int{0, 1}) || a.Left() != 3 {
		t.Errorf("missing %v of %d", got, a.Left())
	}
	if _, err := a.Finish(); !errors.Is(err, ErrIncomplete) {
		t.Error(err)
	}
	for _, i := range []int{2, 0, 1} {
		if err := a.Put(i, liar.Piece(i)); !errors.Is(err, ErrDigest) {
			t.Errorf("forged piece %d: %v", i, err)
		}
		if err := a.Put(i, s.Piece((i+1)%3)); !errors.Is(err, ErrDigest) && !errors.Is(err, ErrOversized) {
			t.Errorf("misplaced piece %d: %v", i, err)
		}
		if err := a.Put(i, s.Piece(i)); err != nil {
			t.Error(err)
		}
		if err := a.Put(i, liar.Piece(i)); err != nil {
			t.Errorf("piece %d again: %v", i, err)
		}
	}
	if err := a.Put(3, s.Piece(0)); !errors.Is(err, ErrOversized) {
		t.Error(err)
	}
	if err := NewAssembler(h).Put(0, nil); !errors.Is(err, ErrOversized) {
		t.Error(err)
	}
	got, err := a.Finish()
	if err != nil || got.Bundle().Ruleset != s.Bundle().Ruleset || !bytes.Equal(got.Encode(), s.Encode()) || len(a.Missing(9)) != 0 {
		t.Errorf("assembled: %v", err)
	}
}

func TestNewest(t *testing.T) {
	d := func(b byte) Digest { return Digest{b} }
	for _, k := range []struct {
		offers []Offer
		want   string
	}{
		{nil, ""},
		{[]Offer{{"a", 0, d(0)}, {"b", 0, d(0)}}, ""},
		{[]Offer{{"a", 4, d(4)}, {"local", 5, d(5)}, {"c", 4, d(4)}}, "local"},
		{[]Offer{{"a", 5, d(5)}, {"local", 5, d(5)}}, "a"},
		{[]Offer{{"a", 4, d(4)}, {"b", 4, d(9)}, {"c", 5, d(5)}}, "c"},
		{[]Offer{{"a", 5, d(5)}, {"b", 4, d(4)}, {"c", 5, d(6)}}, "conflict a c"},
	} {
		got, err := Newest(k.offers)
		var c *ConflictError
		switch {
		case errors.As(err, &c):
			if k.want != "conflict "+c.A.Source+" "+c.B.Source || !errors.Is(err, ErrConflict) || !strings.Contains(err.Error(), c.A.Digest.Short()) ||
				!strings.Contains(err.Error(), c.B.Digest.Short()) {
				t.Errorf("%v: %v, want %s", k.offers, err, k.want)
			}
		case err != nil || got.Source != k.want:
			t.Errorf("%v: %v %v, want %s", k.offers, got, err, k.want)
		}
	}
	s := seal(t, sample())
	if o := s.Head().Offer("x"); o.None() || o.Generation != 42 || o.Digest != s.Head().Digest() {
		t.Error(o)
	}
}

func TestKeys(t *testing.T) {
	private, public, err := GenerateKey(bytes.NewReader(bytes.Repeat([]byte{9}, 64)))
	if err != nil {
		t.Fatal(err)
	}
	k, err := ParsePrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := ParsePublicKeys(append(bytes.Clone(public), EncodePublicKey(key.Public().(ed25519.PublicKey))...))
	if err != nil || len(keys) != 2 || !keys[0].Equal(k.Public()) || !keys[1].Equal(key.Public()) {
		t.Fatalf("%v %v", keys, err)
	}
	for name, err := range map[string]error{
		"public as private": second(ParsePrivateKey(public)),
		"private as public": second(ParsePublicKeys(private)),
		"empty":             second(ParsePublicKeys(nil)),
		"empty private":     second(ParsePrivateKey(nil)),
		"many":              second(ParsePublicKeys(bytes.Repeat(public, MaxKeys+1))),
	} {
		if !errors.Is(err, ErrContent) && !errors.Is(err, ErrOversized) {
			t.Errorf("%s: %v", name, err)
		}
		if err != nil && strings.Contains(err.Error(), string(private[30:60])) {
			t.Errorf("%s: shows the key", name)
		}
	}
}

func second[T any](_ T, err error) error { return err }

func TestWords(t *testing.T) {
	for text, ok := range map[string]bool{"dns=never": true, "http=3s": true, "tcp/8000-8100=2s": true, "udp/53=100ms": true,
		"dns": false, "dns=": false, "=3s": false, "tcp/0=1s": false, "tcp/9-8=1s": false, "tcp/07=1s": false, "http=1us": false, "http=99ms": false, "http=11m": false, "DNS=never": false, "tcp/=1s": false} {
		r, err := ParseSyncRule(text)
		if (err == nil) != ok || ok && r.String() != text {
			t.Errorf("%s: %v %v", text, r, err)
		}
	}
	for text, ok := range map[string]bool{"inet filter blocked": true, "ip t": false, "": false, "ipx t s": false, "ip t s{": false} {
		if s, err := ParseSet(text); (err == nil) != ok || ok && s.String() != text {
			t.Errorf("%s: %v", text, err)
		}
	}
	for _, w := range []string{"keep", "rematch"} {
		if c, err := ParseConnections(w); err != nil || c.String() != w {
			t.Error(w, c, err)
		}
	}
	if _, err := ParseConnections("x"); err == nil {
		t.Error("x is a word")
	}
	s := seal(t, sample())
	if d, err := ParseDigest(s.Head().Digest().String()); err != nil || d != s.Head().Digest() {
		t.Error(err)
	}
	if _, err := ParseDigest("ab"); err == nil {
		t.Error("ab is a digest")
	}
}
