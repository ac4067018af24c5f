// SPDX-License-Identifier: Apache-2.0

package nft

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/holdfast-project/holdfast/policy"
	"github.com/holdfast-project/holdfast/policy/ruleset"
)

// imprint is what tables of the kernel are, by their own bytes: another one says that somebody touched them. It is for tables that nothing but
// somebody's hand changes: those of a generation that is asleep, where no packet counts, and those without counters.
type imprint struct {
	sum [sha256.Size]byte
	// transaction is the kernel's number of the latest one, of whomever: as long as it is the same, nobody changed anything.
	transaction uint32
	// large are sets whose elements were not read, since they are too many.
	large []policy.Set
}

// maxImprint is how many elements of a set are read: an install has no time for 100,000 of them.
const maxImprint = 4096

const (
	msgGetChain     = subsystem | unix.NFT_MSG_GETCHAIN
	msgGetRule      = subsystem | unix.NFT_MSG_GETRULE
	msgGetFlowtable = subsystem | unix.NFT_MSG_GETFLOWTABLE

	// setType and setCount are the kernel's own statistics of a set (since Linux 6.17): elements that are not the ruleset's change them.
	setType, setCount = 19, 20
)

// errBusy: the ruleset changed each time while it was read.
var errBusy = errors.New("it changed each time while it was read")

// errLarge: a set has more elements than are read.
var errLarge = errors.New("too many elements")

// print reads tables. Elements of free sets do not count. Tables that are not there are as empty ones.
func (c conn) print(tables []table, free []policy.Set) (imprint, error) {
	for range 5 {
		before, err := c.transaction()
		if err != nil {
			return imprint{}, err
		}
		h := sha256.New()
		var large []policy.Set
		for _, t := range tables {
			var more []policy.Set
			more, err = c.printTable(h, t, free)
			if large = append(large, more...); err != nil {
				break
			}
		}
		if errors.Is(err, unix.EINTR) {
			continue
		}
		after, atErr := c.transaction()
		if err = errors.Join(err, atErr); err != nil {
			return imprint{}, fmt.Errorf("nftables: read tables: %w", err)
		}
		if before == after {
			p := imprint{transaction: after, large: large}
			h.Sum(p.sum[:0])
			return p, nil
		}
	}
	return imprint{}, fmt.Errorf("nftables: read tables: %w", errBusy)
}

func (c conn) printTable(h hash.Hash, t table, free []policy.Set) (large []policy.Set, err error) {
	var sets []string
	each := func(kind uint16, attrs []byte) error {
		write(h, binary.BigEndian.AppendUint16(nil, kind))
		return walk(c.namespace, message(kind, 0, t.family, attrs), func(attrs []byte) error {
			var own bool
			var name string
			var known []byte
			err := attributes(attrs, func(typ uint16, v []byte) {
				if typ == tableName { // the same attribute in every message
					own = string(bytes.TrimRight(v, "\x00")) == t.name
				}
				if kind == msgGetSet && typ == setName {
					name = string(bytes.TrimRight(v, "\x00"))
				}
				if kind != msgGetSet || typ != setType && typ != setCount {
					known = attribute(known, typ, v)
				}
			})
			if err != nil || !own {
				return err
			}
			write(h, known)
			if kind == msgGetSet {
				sets = append(sets, name)
			}
			return nil
		})
	}
	for _, kind := range []uint16{msgGetTable, msgGetChain, msgGetSet, msgGetObject, msgGetFlowtable} {
		if err := each(kind, nil); err != nil {
			return nil, err
		}
	}
	// The kernel leaves out the rules of other tables, of which there may be many.
	if err := each(msgGetRule, text(nil, tableName, t.name)); err != nil && !errors.Is(err, unix.ENOENT) {
		return nil, err
	}
	for _, name := range sets {
		own := policy.Set{Family: familyName(t.family), Table: ruleset.OperatorName(t.name), Name: name}
		if slices.Contains(free, own) {
			continue
		}
		switch err := c.printElements(h, t, name); {
		case errors.Is(err, errLarge):
			large = append(large, own)
		case err != nil:
			return nil, err
		}
	}
	return large, nil
}

// printElements adds the elements of a set, which the kernel tells in any order.
func (c conn) printElements(h hash.Hash, t table, name string) error {
	var all []string
	err := walk(c.namespace, message(msgGetElement, 0, t.family, text(text(nil, listTable, t.name), listSet, name)), func(attrs []byte) error {
		var bad error
		err := attributes(attrs, func(typ uint16, list []byte) {
			if typ == listElements {
				bad = attributes(list, func(_ uint16, v []byte) {
					e, err := parseElement(v)
					bad = cmp.Or(bad, err)
					all = append(all, e.key+"\x00"+e.value+"\x00"+e.state)
				})
			}
		})
		if len(all) > maxImprint {
			return errLarge
		}
		return cmp.Or(err, bad)
	})
	if err != nil {
		return err
	}
	slices.Sort(all)
	write(h, []byte(name))
	for _, e := range all {
		write(h, []byte(e))
	}
	return nil
}

// write adds b with its length, so that no two series of writes are one.
func write(h hash.Hash, b []byte) {
	h.Write(binary.BigEndian.AppendUint32(nil, uint32(len(b)))) //nolint:gosec,errcheck // netlink bounds it; a hash takes all
	h.Write(b)                                                  //nolint:errcheck // likewise
}

// free are the sets whose elements are not the ruleset's: those that are kept, and those that packets or time change.
func (p *Policy) free() []policy.Set {
	free := slices.Clone(p.Keep)
	for i := range p.Ruleset.Tables {
		t := &p.Ruleset.Tables[i]
		for _, o := range t.Objects {
			if o.Kind != "set" && o.Kind != "map" {
				continue
			}
			for _, s := range o.Statements {
				if s.Words[0].Text == "flags" && slices.ContainsFunc(s.Words, func(w ruleset.Word) bool { return w.Text == "dynamic" || w.Text == "timeout" }) {
					free = append(free, policy.Set{Family: t.Family, Table: t.Name, Name: o.Name})
				}
			}
		}
	}
	return free
}

// asleep is a generation that Prepare loaded, as it was then.
type asleep struct {
	was   imprint
	free  []policy.Set
	alone bool // nobody else made a transaction between the load and the imprint
}

// touched reports whether the tables of a generation that is asleep are other ones than Prepare left; sure, that they are the same, with every
// element. Neither is known of one that this process did not load; nor is sure if somebody else wrote while it was loaded. What takes no time is
// looked at first: most often nobody has changed anything at all since.
func (k *Kernel) touched(c conn, l *Loaded) (touched, sure bool, err error) {
	a, known := k.asleep[l.Mark]
	if !known {
		return false, false, nil
	}
	if now, err := c.transaction(); err != nil || now == a.was.transaction {
		return false, err == nil && a.alone, err
	}
	now, err := c.print(sortedTables(l.tables), slices.Concat(a.free, a.was.large))
	if errors.Is(err, errBusy) {
		return false, false, nil
	}
	return now.sum != a.was.sum, now.sum == a.was.sum && len(a.was.large) == 0 && a.alone, err
}

// sortedTables is another order of the same tables, which does not depend on who lists them.
func sortedTables(all []table) []table {
	return slices.SortedFunc(slices.Values(all), func(a, b table) int { return strings.Compare(familyName(a.family)+a.name, familyName(b.family)+b.name) })
}

// remember keeps what a generation that was just loaded is. Without it, nothing can be said later. ended is the transaction that ended the load;
// 0: there were others beside it.
func (k *Kernel) remember(c conn, p *Policy, ended uint32) {
	a := asleep{free: p.free()}
	var err error
	if a.was, err = c.print(sortedTables(p.tables()), a.free); err == nil {
		a.alone = ended != 0 && a.was.transaction == ended
		k.asleep = map[ruleset.Mark]asleep{p.Mark: a}
	}
}
