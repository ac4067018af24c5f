// SPDX-License-Identifier: Apache-2.0

package nft

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// Attributes of sets and elements (linux/netfilter/nf_tables.h).
const (
	setTable, setName, setFlags, setKeyType, setKeyLen, setDataType, setDataLen, setObject = 1, 2, 3, 4, 5, 6, 7, 15

	setInterval, setMap, setTimeout, setObjects, setConcat = 0x4, 0x8, 0x10, 0x40, 0x80

	listTable, listSet, listElements, listElement = 1, 2, 3, 1

	elementKey, elementFlags, elementTimeout, elementExpiration, elementPad, elementKeyEnd = 1, 3, 4, 5, 8, 10
	elementExpression, elementExpressions                                                  = 7, 11

	intervalEnd, catchAll = 1, 2
)

// set is what two generations of a set must share for elements to be carried over.
type set struct {
	flags                                          uint32
	keyType, keyLen, dataType, dataLen, objectType uint32
}

// pairs reports whether the kernel keeps an interval as two elements.
func (s set) pairs() bool { return s.flags&setInterval != 0 && s.flags&setConcat == 0 }

// takes says why elements of o do not fit; "" if they do.
func (s set) takes(o set) string {
	const shape = setInterval | setMap | setObjects | setConcat
	switch {
	case s.keyType != o.keyType || s.keyLen != o.keyLen:
		return "its type has changed"
	case s.dataType != o.dataType || s.dataLen != o.dataLen || s.objectType != o.objectType:
		return "what it maps to has changed"
	case s.flags&shape != o.flags&shape:
		return "its flags have changed"
	case o.flags&setTimeout != 0 && s.flags&setTimeout == 0:
		return "it has no flag timeout any more"
	}
	return ""
}

// element is one element, or the two of an interval, as the kernel told.
type element struct {
	key     string // what finds it
	value   string // all but the moment of expiry and state
	state   string // expressions of its own, with what they have counted
	expires uint64 // in ms; 0: never
	// whole are the attributes of each of its parts, short those that delete it.
	whole, short [][]byte
}

func (c conn) set(family uint8, table, name string) (s set, err error) {
	attrs := text(text(nil, setTable, table), setName, name)
	if err := c.SetDeadline(time.Now().Add(answerTime)); err != nil {
		return s, err
	}
	all, err := c.Execute(message(msgGetSet, 0, family, attrs))
	if err != nil {
		return s, err
	}
	for _, a := range all {
		if len(a.Data) < 4 {
			continue
		}
		fields := map[uint16]*uint32{setFlags: &s.flags, setKeyType: &s.keyType, setKeyLen: &s.keyLen, setDataType: &s.dataType, setDataLen: &s.dataLen, setObject: &s.objectType}
		if err := attributes(a.Data[4:], func(typ uint16, v []byte) {
			if p := fields[typ]; p != nil && len(v) == 4 {
				*p = binary.BigEndian.Uint32(v)
			}
		}); err != nil {
			return s, err
		}
	}
	return s, nil
}

// elements reads all elements of a set. A set that changes meanwhile is read again, some times; then what was read is good enough: who
// changes it that often has another reading coming.
func (c conn) elements(family uint8, table, name string, s set) ([]element, error) {
	var all []element
	for try := range 3 {
		all = all[:0]
		err := walk(c.namespace, message(msgGetElement, 0, family, text(text(nil, listTable, table), listSet, name)), func(attrs []byte) error {
			var bad error
			err := attributes(attrs, func(typ uint16, list []byte) {
				if typ == listElements {
					bad = attributes(list, func(_ uint16, v []byte) {
						e, err := parseElement(v)
						bad = cmp.Or(bad, err)
						all = append(all, e)
					})
				}
			})
			return cmp.Or(err, bad)
		})
		if err != nil && (!errors.Is(err, unix.EINTR) || try == 2) {
			return nil, err
		}
		if err == nil {
			break
		}
	}
	if s.pairs() {
		all = pair(all)
	}
	return all, nil
}

func parseElement(v []byte) (e element, err error) {
	var whole, short, value, state []byte
	var key, end []byte
	var flags uint32
	err = attributes(v, func(typ uint16, a []byte) {
		switch typ {
		case elementPad:
			return
		case elementKey:
			key = a
		case elementKeyEnd:
			end = a
		case elementFlags:
			if len(a) == 4 {
				flags = binary.BigEndian.Uint32(a)
			}
		case elementExpiration:
			if len(a) == 8 {
				e.expires = binary.BigEndian.Uint64(a)
			}
		}
		nested := uint16(unix.NLA_F_NESTED)
		if typ == elementFlags || typ == elementTimeout || typ == elementExpiration || typ == 6 || typ == 9 { // numbers, user data, a name
			nested = 0
		}
		whole = attribute(whole, typ|nested, a)
		switch typ {
		case elementKey, elementKeyEnd, elementFlags:
			short = attribute(short, typ|nested, a)
		}
		switch typ {
		case elementExpiration:
		case elementExpression, elementExpressions:
			state = attribute(state, typ, a)
		default:
			value = attribute(value, typ, a)
		}
	})
	kind := "a"
	if flags&intervalEnd != 0 {
		kind = "A" // before an interval that begins where this one ends
	}
	if flags&catchAll != 0 {
		kind = "*"
	}
	e.key, e.value, e.state = string(key)+string(end)+"\x00"+kind, string(value), string(state)
	e.whole, e.short = [][]byte{whole}, [][]byte{short}
	return e, err
}

// pair joins begin and end of each interval.
func pair(all []element) []element {
	slices.SortFunc(all, func(a, b element) int { return cmp.Compare(a.key, b.key) })
	isEnd := func(e element) bool { return e.key[len(e.key)-1] == 'A' }
	var out []element
	for i := 0; i < len(all); i++ {
		e := all[i]
		if isEnd(e) {
			continue // of the time before the first interval: nft(8) adds it, and the kernel tells it
		}
		if i+1 < len(all) && isEnd(all[i+1]) {
			n := all[i+1]
			e.key, e.value = e.key+n.key, e.value+n.value
			e.whole, e.short = append(e.whole, n.whole...), append(e.short, n.short...)
			i++
		}
		out = append(out, e)
	}
	return out
}

// Limits of one message: netlink's attributes have 16 bits of length.
const (
	elementsLen   = 48 << 10
	batchElements = 20000
)

// put adds or deletes elements, in transactions. Those that the kernel refuses are found by halving, and returned; the error is one of theirs.
func (c conn) put(typ uint16, family uint8, table, name string, all []element) (refused []element, err error) {
	for len(all) > 0 {
		n := min(len(all), batchElements)
		r, e := c.putPart(typ, family, table, name, all[:n])
		refused, err, all = append(refused, r...), cmp.Or(err, e), all[n:]
	}
	return refused, err
}

func (c conn) putPart(typ uint16, family uint8, table, name string, part []element) ([]element, error) {
	err := c.batch(elementMessages(typ, family, table, name, part))
	if err == nil {
		return nil, nil
	}
	if len(part) == 1 {
		if typ == msgDelElement && errors.Is(err, unix.ENOENT) {
			return nil, nil // it expired here too
		}
		return part, err
	}
	a, errA := c.putPart(typ, family, table, name, part[:len(part)/2])
	b, errB := c.putPart(typ, family, table, name, part[len(part)/2:])
	return append(a, b...), cmp.Or(errA, errB)
}

func elementMessages(typ uint16, family uint8, table, name string, all []element) []netlink.Message {
	var out []netlink.Message
	head := text(text(nil, listTable, table), listSet, name)
	var flags netlink.HeaderFlags
	if typ == msgNewElement {
		flags = netlink.Create
	}
	var list []byte
	flush := func() {
		if len(list) > 0 {
			out = append(out, message(typ, flags, family, attribute(bytes.Clone(head), listElements|unix.NLA_F_NESTED, list)))
			list = nil
		}
	}
	for i := range all {
		parts := all[i].whole
		if typ == msgDelElement {
			parts = all[i].short
		}
		size := 0
		for _, p := range parts {
			size += 4 + len(p)
		}
		if len(list)+size > elementsLen {
			flush()
		}
		for _, p := range parts {
			list = attribute(list, listElement|unix.NLA_F_NESTED, p)
		}
	}
	flush()
	return out
}

// Kept tells what became of the elements of one set that is kept.
type Kept struct {
	Set     string // FAMILY TABLE NAME, by the operator's name of the table
	Carried int    // elements that are in the new generation
	Refused int    // elements that the kernel did not take
	Why     string // why some, or all, were not carried over; "" if they were
}

// carry brings the elements of a set from one table to another that is asleep. known is what an earlier call carried, by key: elements
// that are gone since are deleted; nil at first. It returns what there is now.
func (c conn) carry(family uint8, from, to, name string, known map[string]element) (map[string]element, Kept, error) {
	k := Kept{}
	old, err := c.set(family, from, name)
	if errors.Is(err, unix.ENOENT) {
		return nil, k, nil // it is new
	}
	if err != nil {
		return nil, k, fmt.Errorf("nftables: set %s of table %s: %w", name, from, err)
	}
	now, err := c.set(family, to, name)
	if err != nil {
		return nil, k, fmt.Errorf("nftables: set %s of table %s: %w", name, to, err)
	}
	if k.Why = now.takes(old); k.Why != "" {
		return nil, k, nil
	}
	all, err := c.elements(family, from, name, old)
	if err != nil {
		return nil, k, fmt.Errorf("nftables: elements of set %s of table %s: %w", name, from, err)
	}
	seen := make(map[string]element, len(all))
	var add, drop []element
	for _, e := range all {
		was, there := known[e.key]
		switch {
		case !there:
			add = append(add, e)
		case was.value != e.value || e.expires > was.expires: // another value, or refreshed: time only goes down by itself
			drop, add = append(drop, was), append(add, e)
		}
		seen[e.key] = e
	}
	for key, e := range known {
		if _, there := seen[key]; !there {
			drop = append(drop, e)
		}
	}
	if _, err := c.put(msgDelElement, family, to, name, drop); err != nil {
		k.Why = err.Error()
	}
	refused, err := c.put(msgNewElement, family, to, name, add)
	k.Carried, k.Refused = len(all)-len(refused), len(refused)
	for _, e := range refused {
		delete(seen, e.key)
	}
	if err != nil {
		k.Why = err.Error()
	}
	return seen, k, nil
}
