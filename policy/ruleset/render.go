// SPDX-License-Identifier: Apache-2.0

package ruleset

import (
	"encoding/hex"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// Mark is the comment of a table that belongs to Holdfast: the bundle that it is from.
type Mark struct {
	Cluster    uint16
	Generation uint64
	Digest     [32]byte
}

// String is the comment: at most 101 bytes, the kernel's bound is 128.
func (m Mark) String() string {
	return fmt.Sprintf("holdfast %d %d %s", m.Cluster, m.Generation, hex.EncodeToString(m.Digest[:]))
}

var markText = regexp.MustCompile(`^holdfast ([1-9][0-9]{0,4}) ([1-9][0-9]{0,19}) ([0-9a-f]{64})$`)

// ParseMark reads a table's comment; ok is false for other people's.
func ParseMark(comment string) (m Mark, ok bool) {
	w := markText.FindStringSubmatch(comment)
	if w == nil {
		return m, false
	}
	cluster, err1 := strconv.ParseUint(w[1], 10, 16)
	generation, err2 := strconv.ParseUint(w[2], 10, 64)
	if err1 != nil || err2 != nil {
		return m, false
	}
	m = Mark{Cluster: uint16(cluster), Generation: generation}
	_, err := hex.Decode(m.Digest[:], []byte(w[3]))
	return m, err == nil
}

// TableName is a table's name in the kernel: its own, and the generation.
func TableName(name string, generation uint64) string {
	return name + ".g" + strconv.FormatUint(generation, 10)
}

// OperatorName takes the generation off a table's name in the kernel.
func OperatorName(name string) string { return ownName.ReplaceAllString(name, "") }

// Rendered is a ruleset for one member and one generation, as nft reads it.
type Rendered struct {
	Text string
	// Lines is how many lines precede the operator's first one.
	Lines int
}

// Render writes the ruleset for a member: definitions first, then every line where it was, but for what follows "table".
func (r *Ruleset) Render(definitions []Definition, mark Mark) Rendered {
	return r.render(definitions, mark, " flags dormant;")
}

// RenderAwake is Render without the flag, for a ruleset that is to be in force at once.
func (r *Ruleset) RenderAwake(definitions []Definition, mark Mark) Rendered {
	return r.render(definitions, mark, "")
}

func (r *Ruleset) render(definitions []Definition, mark Mark, flags string) Rendered {
	var b strings.Builder
	b.Grow(len(r.text) + 4096)
	for _, d := range definitions {
		fmt.Fprintf(&b, "define %s = %s\n", d.Name, d.Value)
	}
	at := 0
	for i := range r.Tables {
		t := &r.Tables[i]
		b.WriteString(r.text[at:t.name])
		b.WriteString(TableName(t.Name, mark.Generation))
		b.WriteString(r.text[t.name+len(t.Name) : t.open+1])
		fmt.Fprintf(&b, "%s comment %q; ", flags, mark.String())
		at = t.open + 1
	}
	b.WriteString(r.text[at:])
	if !strings.HasSuffix(r.text, "\n") {
		b.WriteByte('\n')
	}
	return Rendered{b.String(), len(definitions)}
}
