// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Bounds of a bundle. They are the format's: a larger one is refused by every reader.
const (
	MaxBody     = 32 << 20 // bytes of a body, uncompressed; 10,000 rules and 100,000 elements are 1.6 MB
	MaxRuleset  = 31 << 20 // bytes of a ruleset
	MaxAuthor   = 128      // bytes
	MaxComment  = 4096     // bytes
	MaxFileName = 255      // bytes
	MaxSync     = 64       // rules, as in cluster.yaml
	MaxKeep     = 32       // sets, as in cluster.yaml
	MaxAfter    = 10 * time.Minute
	maxSetName  = 255
)

// Connections says what becomes of connections that the new policy would not let begin. The zero value keeps them.
type Connections uint8

const (
	// KeepConnections leaves what is established alone; the default.
	KeepConnections Connections = iota
	// RematchConnections ends those that the new policy denies.
	RematchConnections
)

// String is the word that files and commands use.
func (c Connections) String() string {
	switch c {
	case KeepConnections:
		return "keep"
	case RematchConnections:
		return "rematch"
	}
	return "connections(" + strconv.Itoa(int(c)) + ")"
}

// ParseConnections reads the word.
func ParseConnections(word string) (Connections, error) {
	switch word {
	case "keep":
		return KeepConnections, nil
	case "rematch":
		return RematchConnections, nil
	}
	return 0, bad(ErrContent, "connections", "%q; choose keep or rematch", word)
}

// SyncRule says how connections to a service are synchronised, as sync.services of cluster.yaml does: never, or once they are older
// than After.
type SyncRule struct {
	Service string // a name, PROTOCOL, PROTOCOL/PORT or PROTOCOL/FIRST-LAST
	Never   bool
	After   time.Duration // whole milliseconds; 0 with Never
}

// String is the rule as commands take it: dns=never, http=3s.
func (r SyncRule) String() string {
	if r.Never {
		return r.Service + "=never"
	}
	return r.Service + "=" + r.After.String()
}

// ParseSyncRule reads "SERVICE=never" or "SERVICE=TIME".
func ParseSyncRule(text string) (SyncRule, error) {
	service, action, ok := strings.Cut(text, "=")
	r := SyncRule{Service: service, Never: action == "never"}
	if ok && !r.Never {
		d, err := time.ParseDuration(action)
		if err != nil {
			return r, bad(ErrContent, "synchronisation rule", "%q; write SERVICE=never or SERVICE=3s", text)
		}
		r.After = d
	}
	if !ok {
		return r, bad(ErrContent, "synchronisation rule", "%q; write SERVICE=never or SERVICE=3s", text)
	}
	return r, r.check()
}

func (r SyncRule) check() error {
	name, ports, has := strings.Cut(r.Service, "/")
	okName := name != "" && len(name) <= 32 && strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789") == ""
	if has {
		first, last, isRange := strings.Cut(ports, "-")
		lo, err := strconv.ParseUint(first, 10, 16)
		okName = okName && err == nil && lo > 0 && first == strconv.FormatUint(lo, 10)
		if isRange {
			hi, err := strconv.ParseUint(last, 10, 16)
			okName = okName && err == nil && hi > lo && last == strconv.FormatUint(hi, 10)
		}
	}
	switch {
	case !okName:
		return bad(ErrContent, "synchronisation rule", "service %q; write a name, or PROTOCOL/PORT, or PROTOCOL/FIRST-LAST", r.Service)
	case r.Never && r.After != 0:
		return bad(ErrContent, "synchronisation rule", "%s: never and a time", r.Service)
	case !r.Never && (r.After < 100*time.Millisecond || r.After > MaxAfter || r.After%time.Millisecond != 0):
		return bad(ErrContent, "synchronisation rule", "%s after %v; choose 100ms to %v, in whole ms", r.Service, r.After, MaxAfter)
	}
	return nil
}

// Set names a set or map of the ruleset, by the table's name in the operator's file.
type Set struct {
	Family, Table, Name string
}

// String is FAMILY TABLE NAME.
func (s Set) String() string { return s.Family + " " + s.Table + " " + s.Name }

// ParseSet reads FAMILY TABLE NAME.
func ParseSet(text string) (Set, error) {
	w := strings.Fields(text)
	if len(w) != 3 {
		return Set{}, bad(ErrContent, "set", "%q; write FAMILY TABLE NAME: inet filter blocked", text)
	}
	s := Set{w[0], w[1], w[2]}
	return s, s.check()
}

func (s Set) check() error {
	if !slices.Contains([]string{"ip", "ip6", "inet", "arp", "bridge", "netdev"}, s.Family) {
		return bad(ErrContent, "set", "family %q; choose ip, ip6, inet, arp, bridge or netdev", s.Family)
	}
	for _, name := range []string{s.Table, s.Name} {
		if name == "" || len(name) > maxSetName || strings.ContainsFunc(name, func(r rune) bool {
			return r > 127 || !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("/\\_.-", r)
		}) {
			return bad(ErrContent, "set", "name %q; use letters, digits and / \\ _ . -", name)
		}
	}
	return nil
}

// Bundle is a policy with all that goes with it, in the clear. Its order of Sync and Keep does not matter: Seal sorts them.
type Bundle struct {
	Cluster    uint16 // id of the cluster that it is for, not 0
	Generation uint64 // not 0
	Created    int64  // seconds since 1970; shown to people and compared with nothing
	Author     string // who made it, as management knows them
	Comment    string // why
	Origin     uint64 // the generation whose content this is again, after a rollback; 0: none

	File        string      // name of the ruleset's file, for messages: FILE:LINE
	Ruleset     string      // nftables, UTF-8; see policy/ruleset for what it may contain
	Sync        []SyncRule  // replace sync.services of cluster.yaml; empty: those apply
	Keep        []Set       // sets whose elements are carried over at a change of generations
	Connections Connections // what becomes of those that the policy denies
}

// check finds what no bundle may contain.
func (b *Bundle) check() error {
	switch {
	case b.Cluster == 0:
		return bad(ErrContent, "cluster", "0; choose 1 to 65535")
	case b.Generation == 0:
		return bad(ErrContent, "generation", "0; the first one is 1")
	case b.Origin >= b.Generation:
		return bad(ErrContent, "origin", "generation %d has the content of %d, which is not older", b.Generation, b.Origin)
	case b.Connections > RematchConnections:
		return bad(ErrContent, "connections", "%d; choose keep or rematch", b.Connections)
	case b.Ruleset == "":
		return bad(ErrContent, "ruleset", "empty: a policy without rules would let everything pass")
	case len(b.Sync) > MaxSync:
		return bad(ErrOversized, "synchronisation rules", "%d, at most %d", len(b.Sync), MaxSync)
	case len(b.Keep) > MaxKeep:
		return bad(ErrOversized, "sets to keep", "%d, at most %d", len(b.Keep), MaxKeep)
	case strings.ContainsAny(b.File, "/\n"):
		return bad(ErrContent, "file name", "%q; write the name without directories", b.File)
	}
	for _, t := range []struct {
		what, text string
		most       int
		lines      bool
	}{{"author", b.Author, MaxAuthor, false}, {"comment", b.Comment, MaxComment, true}, {"file name", b.File, MaxFileName, false}, {"ruleset", b.Ruleset, MaxRuleset, true}} {
		if err := checkText(t.what, t.text, t.most, t.lines); err != nil {
			return err
		}
	}
	for i, r := range b.Sync {
		if err := r.check(); err != nil {
			return err
		}
		if i > 0 && b.Sync[i-1].Service >= r.Service {
			return bad(ErrContent, "synchronisation rules", "%s twice or out of order", r.Service)
		}
	}
	for i, s := range b.Keep {
		if err := s.check(); err != nil {
			return err
		}
		if i > 0 && compareSets(b.Keep[i-1], s) >= 0 {
			return bad(ErrContent, "sets to keep", "%v twice or out of order", s)
		}
	}
	return nil
}

func checkText(what, text string, most int, lines bool) error {
	if len(text) > most {
		return bad(ErrOversized, what, "%d bytes, at most %d", len(text), most)
	}
	if !utf8.ValidString(text) {
		return bad(ErrContent, what, "not UTF-8")
	}
	for i, r := range text {
		if (r == '\n' || r == '\t') && lines {
			continue
		}
		if unicode.IsControl(r) { // escape sequences would speak to the operator's terminal
			return bad(ErrContent, what, "control character %s at byte %d", fmt.Sprintf("%q", r), i)
		}
	}
	return nil
}

func compareSets(a, b Set) int {
	return cmp.Or(cmp.Compare(a.Family, b.Family), cmp.Compare(a.Table, b.Table), cmp.Compare(a.Name, b.Name))
}

// canonical is a copy in the order of the format.
func (b *Bundle) canonical() *Bundle {
	c := *b
	c.Sync, c.Keep = slices.Clone(b.Sync), slices.Clone(b.Keep)
	slices.SortFunc(c.Sync, func(x, y SyncRule) int { return cmp.Compare(x.Service, y.Service) })
	slices.SortFunc(c.Keep, compareSets)
	return &c
}
