// SPDX-License-Identifier: Apache-2.0

package nftset

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
)

// element is one element of a set, or one interval. The slices are the payloads of the attributes of that name.
type element struct {
	key, keyEnd, data, objref, user []byte
	// end is, of an interval in a set without concatenations, the key of the kernel's other element, which closes it; nil if the
	// interval runs to the last key there is.
	end []byte
	// exprs is the whole attribute of the expressions that an element has of its own (counters, limits, quotas), head included.
	exprs []byte
	flags uint32
	// timeout and expires are in ms. No timeout is the set's default, or none; expires is 0 for an element that stays for good.
	timeout, expires uint64
	hasTimeout       bool
}

// parseElement reads the attributes of one element, whatever they say. What it does not know is an error: a kernel with something new
// in elements is one whose elements this version cannot give away whole.
func parseElement(b []byte) (e element, err error) {
	for len(b) > 0 {
		whole := b
		typ, v, rest, err := nextAttr(b)
		if err != nil {
			return element{}, err
		}
		switch typ {
		case elemKey:
			e.key = v
		case elemKeyEnd:
			e.keyEnd = v
		case elemData:
			e.data = v
		case elemObjref:
			e.objref = v
		case elemUserdata:
			e.user = v
		case elemExpr, elemExpressions:
			e.exprs = whole[:attrHead+len(v)]
		case elemFlags:
			if len(v) != 4 {
				return element{}, fmt.Errorf("flags of %d bytes", len(v))
			}
			e.flags = binary.BigEndian.Uint32(v)
		case elemTimeout, elemExpiration:
			if len(v) != 8 {
				return element{}, fmt.Errorf("time of %d bytes", len(v))
			}
			if typ == elemExpiration {
				e.expires = binary.BigEndian.Uint64(v)
			} else {
				e.timeout, e.hasTimeout = binary.BigEndian.Uint64(v), true
			}
		case elemPad:
		default:
			return element{}, fmt.Errorf("attribute %d is not known", typ)
		}
		b = rest
	}
	if e.key == nil && e.flags&flagCatchall == 0 {
		return element{}, errors.New("no key")
	}
	return e, nil
}

// bareKey is e with only what is needed to find it.
func (e *element) bareKey() element {
	return element{key: e.key, keyEnd: e.keyEnd, end: e.end, flags: e.flags}
}

// append appends the elements of the kernel's list that e is: one, or the two of an interval.
func (e *element) append(b []byte) []byte {
	b, at := beginAttr(b, listElem|nested)
	if e.key != nil {
		b = appendAttr(b, elemKey|nested, e.key)
	}
	if e.keyEnd != nil {
		b = appendAttr(b, elemKeyEnd|nested, e.keyEnd)
	}
	if e.flags != 0 {
		b = appendU32(b, elemFlags, e.flags)
	}
	b = endAttr(e.appendValue(b), at)
	if e.end == nil {
		return b
	}
	b, at = beginAttr(b, listElem|nested)
	b = appendAttr(b, elemKey|nested, e.end)
	b = appendU32(b, elemFlags, flagIntervalEnd)
	return endAttr(b, at)
}

func (e *element) appendValue(b []byte) []byte {
	if e.data != nil {
		b = appendAttr(b, elemData|nested, e.data)
	}
	if e.objref != nil {
		b = appendAttr(b, elemObjref, e.objref)
	}
	if e.hasTimeout {
		b = appendU64(b, elemTimeout, e.timeout)
	}
	if e.expires != 0 {
		b = appendU64(b, elemExpiration, e.expires)
	}
	if e.user != nil {
		b = appendAttr(b, elemUserdata, e.user)
	}
	if e.exprs != nil {
		b = append(b, e.exprs...)
		for range align(len(e.exprs)) - len(e.exprs) {
			b = append(b, 0)
		}
	}
	return b
}

// clone copies e out of the buffer that it was parsed from.
func (e element) clone() element {
	for _, p := range []*[]byte{&e.key, &e.keyEnd, &e.end, &e.data, &e.objref, &e.user, &e.exprs} {
		*p = bytes.Clone(*p)
	}
	return e
}

// identity is what tells elements of one set apart.
func (e *element) identity() string { return string(e.appendIdentity(nil)) }

// appendIdentity appends the identity to b.
func (e *element) appendIdentity(b []byte) []byte {
	b = append(b, byte(e.flags&flagCatchall))
	b = append(append(b, byte(len(e.key))), e.key...)
	b = append(append(b, byte(len(e.keyEnd))), e.keyEnd...)
	return append(append(b, byte(len(e.end))), e.end...)
}

// sameValue reports whether the elements differ in nothing but time and the state of their expressions.
func (e *element) sameValue(o *element) bool {
	return bytes.Equal(e.data, o.data) && bytes.Equal(e.objref, o.objref) && bytes.Equal(e.user, o.user) && e.flags == o.flags &&
		e.hasTimeout == o.hasTimeout && e.timeout == o.timeout && (e.expires == 0) == (o.expires == 0) && (e.exprs == nil) == (o.exprs == nil)
}

// pairIntervals joins the two elements by which the kernel keeps each interval of a set without concatenations. What closes nothing
// (nft puts one at key 0 of most such sets) is left out, as is what nothing closes before the next begins.
func pairIntervals(all []element) []element {
	slices.SortFunc(all, byKey)
	var out []element
	for i := range all {
		e := all[i]
		if e.flags&flagCatchall != 0 {
			out = append(out, e)
			continue
		}
		last := len(out) - 1
		open := last >= 0 && out[last].end == nil && out[last].flags&flagCatchall == 0
		switch {
		case e.flags&flagIntervalEnd == 0:
			out = append(out, e)
		case open:
			out[last].end = e.key
		}
	}
	return out
}

// byKey orders elements by their keys; of an end and a beginning with the same key the end comes first. Catchalls come last.
func byKey(a, b element) int {
	if c := cmp.Compare(a.flags&flagCatchall, b.flags&flagCatchall); c != 0 {
		return c
	}
	if c := bytes.Compare(a.key, b.key); c != 0 {
		return c
	}
	return cmp.Compare(b.flags&flagIntervalEnd, a.flags&flagIntervalEnd)
}
