// SPDX-License-Identifier: Apache-2.0

package flow

import "fmt"

// Class says what an item does to its key, and so what may become of it while it waits.
type Class uint8

// The classes. Zero is none of them.
const (
	// News creates: the key did not exist before, so if it is deleted before it was batched, no peer need hear of either.
	News Class = iota + 1
	// Change alters what exists, in a way that must arrive. It merges with what waits of the same key.
	Change
	// Refresh alters what exists in a way that may be lost: under overload it is given up first.
	Refresh
	// Delete ends the key.
	Delete
	// Mark says something about everything before it. It has no key, divides what may merge, and takes the place of a mark that waits.
	Mark
)

// String returns the class as the documentation writes it.
func (c Class) String() string {
	switch c {
	case News:
		return "news"
	case Change:
		return "change"
	case Refresh:
		return "refresh"
	case Delete:
		return "delete"
	case Mark:
		return "mark"
	}
	return fmt.Sprintf("class %d", uint8(c))
}

// Item is one thing to tell the peers.
//
// News, Change and Refresh must each carry everything that is needed to create the key, because any of them may be the only one that
// arrives. What depends on another key (a connection on its master) must be able to do without: that one may be gone before.
type Item struct {
	// Key identifies what the item is about. It must be a hash with all bits well mixed: it is used as one without more ado.
	Key   uint64
	Class Class
	// Data is what is sent; it must say its own length, because a batch is nothing but the data of its items one after the other.
	Data []byte
}
