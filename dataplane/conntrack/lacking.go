// SPDX-License-Identifier: Apache-2.0

package conntrack

import (
	"time"

	"github.com/holdfast-project/holdfast/dataplane/conntrack/record"
)

const (
	// lackingFor is how long a helper that this kernel does not have is not asked for again.
	lackingFor = time.Minute
	// lackingMost is how many of them are remembered: names come from other members.
	lackingMost = 64
)

// helperKey names a helper as the kernel finds it.
type helperKey struct {
	name   string
	family uint8
	proto  uint8
}

// lacking are the helpers that this kernel does not have, each until when that is believed. For every record with such a helper the kernel
// would start modprobe, and wait for it. The zero value is empty.
type lacking map[helperKey]time.Time

// has says whether the record's helper is one that is lacking.
func (l lacking) has(r record.Record) bool {
	if len(l) == 0 {
		return false
	}
	key, ok := helperOf(r)
	if !ok {
		return false
	}
	until, ok := l[key]
	if ok && time.Now().After(until) {
		delete(l, key)
		return false
	}
	return ok
}

// add remembers that the record's helper is lacking.
func (l *lacking) add(r record.Record) {
	key, ok := helperOf(r)
	if !ok {
		return
	}
	if *l == nil {
		*l = lacking{}
	}
	if len(*l) >= lackingMost {
		clear(*l)
	}
	(*l)[key] = time.Now().Add(lackingFor)
}

// helperOf returns the helper of a connection's record; false if it has none.
func helperOf(r record.Record) (helperKey, bool) {
	if r.Table != record.TableConnections {
		return helperKey{}, false
	}
	name := find(find(r.Attrs, ctaHelp), ctaHelpName)
	if name == nil {
		return helperKey{}, false
	}
	tuple, err := record.Original(r)
	if err != nil {
		return helperKey{}, false
	}
	return helperKey{name: string(name), family: r.Family, proto: tuple.Proto}, true
}
