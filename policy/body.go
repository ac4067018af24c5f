// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"crypto/sha256"
	"encoding/binary"
	"math"
	"time"
)

// Sections of the body, in this order, each at most once, none of them empty. A reader refuses others: who does not understand a part of a
// policy must not put the rest into force.
const (
	_ = iota
	sectionAuthor
	sectionComment
	sectionOrigin
	sectionFile
	sectionRuleset // from here on: content
	sectionSync
	sectionKeep
	sectionConnections
	sections
)

const sectionHead = 1 + 4

// appendBody writes the canonical body and returns where its content begins. b is checked and canonical.
func (b *Bundle) appendBody(out []byte) (body []byte, content int) {
	section := func(kind byte, value []byte) {
		if len(value) == 0 {
			return
		}
		out = append(out, kind)
		out = binary.BigEndian.AppendUint32(out, uint32(len(value))) //nolint:gosec // at most MaxBody
		out = append(out, value...)
	}
	section(sectionAuthor, []byte(b.Author))
	section(sectionComment, []byte(b.Comment))
	if b.Origin != 0 {
		section(sectionOrigin, binary.BigEndian.AppendUint64(nil, b.Origin))
	}
	section(sectionFile, []byte(b.File))
	content = len(out)
	section(sectionRuleset, []byte(b.Ruleset))
	var v []byte
	for _, r := range b.Sync {
		v = appendShort(v, r.Service)
		after := uint32(r.After / time.Millisecond) //nolint:gosec // at most MaxAfter
		if r.Never {
			after = math.MaxUint32
		}
		v = binary.BigEndian.AppendUint32(v, after)
	}
	section(sectionSync, v)
	v = nil
	for _, s := range b.Keep {
		v = appendShort(appendShort(appendShort(v, s.Family), s.Table), s.Name)
	}
	section(sectionKeep, v)
	if b.Connections != KeepConnections {
		section(sectionConnections, []byte{byte(b.Connections)})
	}
	return out, content
}

func appendShort(out []byte, text string) []byte {
	return append(append(out, byte(len(text))), text...)
}

// parseBody fills b from a body, whose length is bounded already, and returns the digest of its content.
func (b *Bundle) parseBody(body []byte) (Digest, error) {
	last, content := 0, len(body)
	for at := 0; at < len(body); {
		if len(body)-at < sectionHead {
			return Digest{}, bad(ErrSection, "body", "%d bytes after the last section", len(body)-at)
		}
		kind, length := int(body[at]), int(binary.BigEndian.Uint32(body[at+1:]))
		switch {
		case kind == 0 || kind >= sections:
			return Digest{}, bad(ErrSection, "body", "section %d is unknown; install a newer Holdfast", kind)
		case kind <= last:
			return Digest{}, bad(ErrSection, "body", "section %d after %d", kind, last)
		case length == 0 || length > len(body)-at-sectionHead:
			return Digest{}, bad(ErrSection, "body", "section %d of %d bytes, %d are left", kind, length, len(body)-at-sectionHead)
		}
		if kind >= sectionRuleset && last < sectionRuleset {
			content = at
		}
		if err := b.section(kind, body[at+sectionHead:at+sectionHead+length]); err != nil {
			return Digest{}, err
		}
		last, at = kind, at+sectionHead+length
	}
	return sha256.Sum256(body[content:]), nil
}

func (b *Bundle) section(kind int, v []byte) error {
	switch kind {
	case sectionAuthor:
		b.Author = string(v)
	case sectionComment:
		b.Comment = string(v)
	case sectionOrigin:
		if len(v) != 8 || binary.BigEndian.Uint64(v) == 0 {
			return bad(ErrSection, "origin", "%x", v[:min(len(v), 16)])
		}
		b.Origin = binary.BigEndian.Uint64(v)
	case sectionFile:
		b.File = string(v)
	case sectionRuleset:
		b.Ruleset = string(v)
	case sectionSync:
		return b.parseSync(v)
	case sectionKeep:
		return b.parseKeep(v)
	case sectionConnections:
		if len(v) != 1 || v[0] == 0 {
			return bad(ErrSection, "connections", "%x", v[:min(len(v), 16)])
		}
		b.Connections = Connections(v[0])
	}
	return nil
}

func (b *Bundle) parseSync(v []byte) error {
	for len(v) > 0 {
		service, rest, ok := short(v)
		if !ok || len(rest) < 4 || len(b.Sync) == MaxSync {
			return bad(ErrSection, "synchronisation rules", "rule %d is cut off, or one too many", len(b.Sync))
		}
		r := SyncRule{Service: service}
		if ms := binary.BigEndian.Uint32(rest); ms == math.MaxUint32 {
			r.Never = true
		} else {
			r.After = time.Duration(ms) * time.Millisecond
		}
		b.Sync, v = append(b.Sync, r), rest[4:]
	}
	return nil
}

func (b *Bundle) parseKeep(v []byte) error {
	for len(v) > 0 {
		var s Set
		for _, p := range []*string{&s.Family, &s.Table, &s.Name} {
			var ok bool
			if *p, v, ok = short(v); !ok || len(b.Keep) == MaxKeep {
				return bad(ErrSection, "sets to keep", "set %d is cut off, or one too many", len(b.Keep))
			}
		}
		b.Keep = append(b.Keep, s)
	}
	return nil
}

func short(v []byte) (text string, rest []byte, ok bool) {
	if len(v) == 0 || len(v) < 1+int(v[0]) {
		return "", nil, false
	}
	return string(v[1 : 1+v[0]]), v[1+v[0]:], true
}
