// SPDX-License-Identifier: Apache-2.0

package ccp

import "fmt"

// KeyName names a key without telling it.
type KeyName struct {
	Number      uint8
	Fingerprint uint64
}

// KeyStatement is what a member says about its keys in every HELLO.
type KeyStatement struct {
	// Using is the number of the key that everything the member sends is under: its sealed frames and its gate frames.
	Using uint8
	// Held are the keys that it takes frames under; number 0 is no key.
	Held [2]KeyName
}

// holds reports whether k is among the keys held.
func (s KeyStatement) holds(k KeyName) bool { return s.Held[0] == k || s.Held[1] == k }

// Keyring rotates the cluster key by agreement. Every member's key file holds one key or, during a rotation, the old and the new one.
// The new key is used once every configured member has said that it holds it, and the old one dropped once every member has said
// that it uses the new one; never by time, so a member that cannot be reached holds a rotation open.
//
// It only decides. Its owner, in this order: after Load gives the keys of Held to the gate and the Opener; when Use changes, rekeys
// the pulse and the Sealer and then calls Adopted; when Held loses a key, takes it from the Opener and the gate; and puts Statement
// into every HELLO. Not safe for concurrent use.
type Keyring struct {
	cluster uint16
	self    uint8
	members uint8 // how many are configured

	old, next Key        // next.Number is 0 outside a rotation
	names     [2]KeyName // of old and next: a fingerprint costs more than the HELLO that it goes into
	switched  bool
	dropped   bool
	adopted   uint8
	said      [MaxMembers]KeyStatement
}

// NewKeyring makes a ring without a key for member self of a cluster of members members. Load comes next.
func NewKeyring(cluster uint16, self, members uint8) *Keyring {
	return &Keyring{cluster: cluster, self: self, members: min(members, MaxMembers)}
}

// Load takes the keys of the key file, one or two in any order, at the start and when the file was changed. Of two the one with the
// higher number is the new one (numbers go round from 255 to 1). It refuses, changing nothing, a set that cannot be held (ErrKeySet)
// and a set without a key that is still used (ErrKeyInUse).
func (r *Keyring) Load(keys ...Key) error {
	if err := checkKeySet(keys); err != nil {
		return err
	}
	var old, next Key
	old = keys[0]
	if len(keys) == 2 {
		next = keys[1]
		if int8(next.Number-old.Number) < 0 {
			old, next = next, old
		}
	}
	if r.old.Number != 0 {
		if err := r.checkRemoved(keys); err != nil {
			return err
		}
	}
	if old == r.old && next == r.next {
		return nil
	}
	// checkRemoved saw to it that old is the key in use: what begins here, if anything, is another rotation.
	r.old, r.next, r.switched, r.dropped = old, next, false, false
	r.names = [2]KeyName{r.fingerprint(old), r.fingerprint(next)}
	r.advance()
	return nil
}

func checkKeySet(keys []Key) error {
	if len(keys) < 1 || len(keys) > 2 {
		return fmt.Errorf("%w holds %d keys: keep one, or the old and the new one during a rotation", ErrKeySet, len(keys))
	}
	for _, k := range keys {
		if k.Number == 0 {
			return fmt.Errorf("%w holds a key with number 0: number keys 1 to 255", ErrKeySet)
		}
	}
	if len(keys) == 2 && keys[0].Number%4 == keys[1].Number%4 {
		return fmt.Errorf("%w holds keys %d and %d, which share a slot of the gate: give the new key the number %d",
			ErrKeySet, keys[0].Number, keys[1].Number, nextNumber(keys[0].Number))
	}
	return nil
}

func nextNumber(n uint8) uint8 {
	if n == 255 {
		return 1
	}
	return n + 1
}

// checkRemoved refuses a set that lacks a key somebody uses, or has another key under a number that is held.
func (r *Keyring) checkRemoved(keys []Key) error {
	for _, held := range r.Held() {
		found := false
		for _, k := range keys {
			if k.Number == held.Number && k.Key != held.Key {
				return fmt.Errorf("%w holds another key %d than before: give a new key a new number", ErrKeySet, k.Number)
			}
			found = found || k.Number == held.Number
		}
		if found {
			continue
		}
		if held == r.Use() || held == r.old {
			// What is not known is not safe either: a member that was not heard yet may well send under it.
			return fmt.Errorf("%w: key %d may still be sent under: keep both keys in the file until every member uses the new one",
				ErrKeyInUse, held.Number)
		}
		for m := range r.members {
			if m != r.self && r.said[m].Using == held.Number {
				return fmt.Errorf("%w: key %d by member %d: keep both keys in the file, the rotation can only go on",
					ErrKeyInUse, held.Number, m)
			}
		}
	}
	return nil
}

// Use is the key that this member should send under.
func (r *Keyring) Use() Key {
	if r.switched {
		return r.next
	}
	return r.old
}

// Held returns the keys that frames are taken under.
func (r *Keyring) Held() []Key {
	switch {
	case r.dropped:
		return []Key{r.next}
	case r.next.Number != 0:
		return []Key{r.old, r.next}
	case r.old.Number != 0:
		return []Key{r.old}
	}
	return nil
}

// Adopted says that everything this member sends is under key number by now.
func (r *Keyring) Adopted(number uint8) {
	r.adopted = number
	r.advance()
}

// Statement is what to say in the next HELLO.
func (r *Keyring) Statement() KeyStatement {
	s := KeyStatement{Using: r.adopted}
	for i, k := range r.Held() {
		s.Held[i] = r.name(k)
	}
	return s
}

// name is that of a key that is held.
func (r *Keyring) name(k Key) KeyName {
	if k == r.next {
		return r.names[1]
	}
	return r.names[0]
}

func (r *Keyring) fingerprint(k Key) KeyName {
	if k.Number == 0 {
		return KeyName{}
	}
	return KeyName{k.Number, k.Key.Fingerprint(r.cluster)}
}

// Heard takes the statement of member from a bound HELLO; it replaces the member's earlier one.
func (r *Keyring) Heard(member uint8, s KeyStatement) {
	if member >= r.members || member == r.self {
		return
	}
	r.said[member] = s
	r.advance()
}

// Opened says that a frame under key number could be opened, bound or not. That somebody uses the new key proves that the members had
// agreed on it: a member that starts in the middle of a rotation learns it so, from members that may have dropped the old key.
func (r *Keyring) Opened(number uint8) {
	if r.next.Number != 0 && number == r.next.Number {
		r.switched = true
	}
}

// advance draws the conclusions.
func (r *Keyring) advance() {
	if r.next.Number == 0 {
		return
	}
	rot := r.Rotation()
	if !r.switched && len(rot.Waiting) == 0 {
		r.switched = true
		rot = r.Rotation()
	}
	if r.switched && r.adopted == r.next.Number && len(rot.Waiting) == 0 {
		r.dropped = true
	}
}

// Rotation is how far a rotation has come.
type Rotation struct {
	// Open says that two keys are held.
	Open bool
	// From and To are the old and the new key's number; outside a rotation To is the only key's and From 0.
	From, To uint8
	// Switched says that this member sends under the new key.
	Switched bool
	// Waiting lists the members, by number, that have not said yet that they hold the new key or, when Switched, that they use it.
	Waiting []uint8
	// Differ lists those of them that hold another key under the new one's number.
	Differ []uint8
}

// Rotation returns how far the rotation has come. An open one with nobody to wait for waits for this member's own Adopted.
func (r *Keyring) Rotation() Rotation {
	if r.next.Number == 0 || r.dropped {
		return Rotation{To: r.Use().Number, Switched: r.dropped}
	}
	rot := Rotation{Open: true, From: r.old.Number, To: r.next.Number, Switched: r.switched}
	name := r.name(r.next)
	for m := range r.members {
		s := r.said[m]
		switch {
		case m == r.self || (s.holds(name) && (!r.switched || s.Using == name.Number)):
			continue
		case !s.holds(name) && (s.Held[0].Number == name.Number || s.Held[1].Number == name.Number):
			rot.Differ = append(rot.Differ, m)
		}
		rot.Waiting = append(rot.Waiting, m)
	}
	return rot
}

// Text says it to an operator; name gives a member's.
func (r Rotation) Text(name func(member uint8) string) string {
	if !r.Open {
		return fmt.Sprintf("key %d", r.To)
	}
	text := "rotation open: waiting for "
	for i, m := range r.Waiting {
		if i > 0 {
			text += ", "
		}
		text += name(m)
	}
	if len(r.Waiting) == 0 {
		text += "this member"
	}
	verb := " to hold key "
	if r.Switched {
		verb = " to use key "
	}
	text += verb + fmt.Sprint(r.To)
	for i, m := range r.Differ {
		if i == 0 {
			text += fmt.Sprintf(" (another key %d is held by", r.To)
		}
		text += " " + name(m)
	}
	if len(r.Differ) > 0 {
		text += ")"
	}
	return text
}
