// SPDX-License-Identifier: Apache-2.0

package nftset

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/holdfast-project/holdfast/dataplane/conntrack/record"
)

// Attributes of a record beside listTable, listSet and listElements, which are the kernel's own.
const (
	// attrRound is the number of the sender's round in which the record was made: [4]byte, big-endian.
	attrRound = 64
	// attrCount is how many elements the round named has listed: [4]byte. Only in the record that ends it, which has no element.
	attrCount = 65
)

// Reason says why a record was refused. It is a label of metrics: ONLY APPEND.
type Reason uint8

// The reasons.
const (
	// ReasonNone is no reason: the record is fine.
	ReasonNone Reason = iota
	// ReasonMalformed: the attributes contradict themselves or their record.
	ReasonMalformed
	// ReasonSet: of a set that this member does not synchronise.
	ReasonSet
	// ReasonKey: a key that no set can have.
	ReasonKey
	// ReasonValue: data, flags or an object's name that no element can have.
	ReasonValue
	// ReasonTime: a time-out that makes no sense.
	ReasonTime
	// ReasonExpression: an expression of a kind that elements do not have.
	ReasonExpression
	// ReasonKernel: this member's kernel has refused the element.
	ReasonKernel
	// ReasonFull: more elements than MaxElements.
	ReasonFull

	// Reasons is how many there are: the length of an array of counters.
	Reasons = int(iota)
)

// String returns the reason as metrics label it.
func (r Reason) String() string {
	names := [Reasons]string{"none", "malformed", "set", "key", "value", "time", "expression", "kernel", "full"}
	if int(r) < len(names) {
		return names[r]
	}
	return fmt.Sprintf("reason-%d", uint8(r))
}

// item is what a record says: of one element of a set, or that a round has ended.
type item struct {
	set   Set
	op    record.Op
	round uint32
	elem  element
	ends  bool
	count uint32
}

// record makes the record of i. Its attributes are appended to dst.
func (i *item) record(dst []byte) record.Record {
	at := len(dst)
	dst = appendString(dst, listTable, i.set.Table)
	dst = appendString(dst, listSet, i.set.Name)
	if !i.ends {
		var list int
		dst, list = beginAttr(dst, listElements|nested)
		dst = endAttr(i.elem.append(dst), list)
	}
	dst = appendU32(dst, attrRound, i.round)
	if i.ends {
		dst = appendU32(dst, attrCount, i.count)
	}
	return record.Record{Table: record.TableSets, Op: i.op, Family: i.set.Family, Attrs: dst[at:len(dst):len(dst)]}
}

// parse reads a record and checks all of it: nothing that another member says reaches the kernel without.
func parse(r record.Record) (item, Reason) {
	i := item{set: Set{Family: r.Family}, op: r.Op}
	if r.Table != record.TableSets || r.Op < record.OpNew || r.Op > record.OpDelete {
		return item{}, ReasonMalformed
	}
	elements := 0
	for b := r.Attrs; len(b) > 0; {
		typ, v, rest, err := nextAttr(b)
		if err != nil {
			return item{}, ReasonMalformed
		}
		b = rest
		ok := true
		switch typ {
		case listTable:
			i.set.Table, ok = cString(v)
		case listSet:
			i.set.Name, ok = cString(v)
		case listElements:
			elements++
			if reason := i.parseElements(v); reason != ReasonNone {
				return item{}, reason
			}
		case attrRound, attrCount:
			if ok = len(v) == 4; !ok {
				break
			}
			if n := binary.BigEndian.Uint32(v); typ == attrRound {
				i.round = n
			} else {
				i.ends, i.count = true, n
			}
		default:
			ok = false
		}
		if !ok {
			return item{}, ReasonMalformed
		}
	}
	if elements > 1 || i.ends == (elements == 1) || i.set.Table == "" || i.set.Name == "" {
		return item{}, ReasonMalformed
	}
	return i, ReasonNone
}

// parseElements reads the list of a record: one element, or the two of an interval.
func (i *item) parseElements(list []byte) Reason {
	n := 0
	for ; len(list) > 0; n++ {
		typ, v, rest, err := nextAttr(list)
		if err != nil || typ != listElem {
			return ReasonMalformed
		}
		list = rest
		e, err := parseElement(v)
		if err != nil {
			return ReasonMalformed
		}
		if reason := e.check(i.op == record.OpDelete); reason != ReasonNone {
			return reason
		}
		switch {
		case n == 0 && e.flags&flagIntervalEnd == 0:
			i.elem = e
		case n == 1 && e.flags == flagIntervalEnd && e.keyEnd == nil && e.bare() && i.elem.flags == 0 && i.elem.keyEnd == nil:
			i.elem.end = e.key
		default:
			return ReasonMalformed
		}
	}
	if n == 0 {
		return ReasonMalformed
	}
	return ReasonNone
}

// Bounds of an element's parts, as the kernel has them where it has any.
const (
	maxValue    = 64  // NFT_DATA_VALUE_MAXLEN
	maxUserdata = 256 // NFT_USERDATA_MAXLEN
	maxTimeout  = 10 * 365 * 24 * 3600 * 1000
)

// bare reports whether e has nothing but a key.
func (e *element) bare() bool {
	return e.data == nil && e.objref == nil && e.user == nil && e.exprs == nil && !e.hasTimeout && e.expires == 0
}

// check looks at every part of e. A record that removes has only the key.
func (e *element) check(remove bool) Reason {
	switch {
	case remove && !e.bare():
		return ReasonMalformed
	case e.flags&^(flagIntervalEnd|flagCatchall) != 0, e.flags == flagIntervalEnd|flagCatchall:
		return ReasonValue
	case e.flags&flagCatchall != 0 && (e.key != nil || e.keyEnd != nil):
		return ReasonKey
	case e.flags&flagCatchall == 0 && !isValue(e.key), e.keyEnd != nil && !isValue(e.keyEnd):
		return ReasonKey
	case e.data != nil && !isValue(e.data) && !isVerdict(e.data):
		return ReasonValue
	case e.objref != nil && !isName(e.objref), e.user != nil && !isUserdata(e.user):
		return ReasonValue
	case e.timeout > maxTimeout, e.expires > maxTimeout, e.timeout != 0 && e.expires > e.timeout:
		return ReasonTime
	case e.exprs != nil && !areExpressions(e.exprs):
		return ReasonExpression
	}
	return ReasonNone
}

// isValue reports whether v holds one NFTA_DATA_VALUE.
func isValue(v []byte) bool {
	typ, value, rest, err := nextAttr(v)
	return err == nil && typ == 1 && len(rest) == 0 && len(value) > 0 && len(value) <= maxValue
}

// isVerdict reports whether v holds one NFTA_DATA_VERDICT with a code that a map can have: no queue, which would hand packets to
// whoever listens there.
func isVerdict(v []byte) bool {
	typ, value, rest, err := nextAttr(v)
	if err != nil || typ != 2 || len(rest) != 0 {
		return false
	}
	code, chain := int32(1<<30), ""
	for len(value) > 0 {
		typ, v, rest, err := nextAttr(value)
		ok := err == nil
		switch {
		case ok && typ == 1 && len(v) == 4:
			code = int32(binary.BigEndian.Uint32(v)) //nolint:gosec // two's complement, as the kernel has it
		case ok && typ == 2:
			ok = isName(v)
			chain, _ = cString(v)
		default:
			ok = false
		}
		if !ok {
			return false
		}
		value = rest
	}
	switch code {
	case 0, 1, -1, -5: // drop, accept, continue, return
		return chain == ""
	case -3, -4: // jump, goto
		return chain != ""
	}
	return false
}

func isName(v []byte) bool {
	s, ok := cString(v)
	return ok && s != "" && len(s) <= 255
}

// isUserdata reports whether v is what nft attaches to elements: a list of type [1]byte, length [1]byte and value, of a comment (0),
// which ends with a zero, and flags (1).
func isUserdata(v []byte) bool {
	if len(v) > maxUserdata {
		return false
	}
	for len(v) > 0 {
		if len(v) < 2 || len(v) < 2+int(v[1]) {
			return false
		}
		typ, value := v[0], v[2:2+int(v[1])]
		v = v[2+len(value):]
		switch {
		case typ == 0 && isComment(value):
		case typ == 1 && len(value) == 4:
		default:
			return false
		}
	}
	return true
}

func isComment(v []byte) bool {
	s, ok := cString(v)
	for _, c := range []byte(s) {
		ok = ok && c >= 0x20 && c != 0x7f
	}
	return ok && len(v) > 0 && v[len(v)-1] == 0
}

// stateful are the expressions that an element can have.
var stateful = map[string]bool{"counter": true, "limit": true, "quota": true, "last": true, "connlimit": true}

var errExpression = errors.New("not an expression of an element")

// areExpressions reports whether b is one NFTA_SET_ELEM_EXPR, or a list of up to two in NFTA_SET_ELEM_EXPRESSIONS (NFT_SET_EXPR_MAX).
func areExpressions(b []byte) bool {
	typ, v, rest, err := nextAttr(b)
	if err != nil || len(rest) != 0 {
		return false
	}
	if typ == elemExpr {
		return isExpression(v) == nil
	}
	n := 0
	for ; len(v) > 0; n++ {
		typ, e, rest, err := nextAttr(v)
		if err != nil || typ != listElem || isExpression(e) != nil {
			return false
		}
		v = rest
	}
	return n == 1 || n == 2
}

// isExpression checks the name of an expression (NFTA_EXPR_NAME, 1) and the form of its data (NFTA_EXPR_DATA, 2), a list of numbers.
func isExpression(b []byte) error {
	known := false
	for len(b) > 0 {
		typ, v, rest, err := nextAttr(b)
		if err != nil {
			return err
		}
		switch typ {
		case 1:
			name, ok := cString(v)
			if !ok || !stateful[name] {
				return errExpression
			}
			known = true
		case 2:
			for len(v) > 0 {
				_, number, next, err := nextAttr(v)
				if err != nil || len(number) > 8 {
					return errExpression
				}
				v = next
			}
		default:
			return errExpression
		}
		b = rest
	}
	if !known {
		return errExpression
	}
	return nil
}
