// SPDX-License-Identifier: Apache-2.0

// Package nftset keeps the elements of named nftables sets and maps equal on all members: block lists that rules or tools fill, meters
// with an element per client, maps that rules learn.
//
// The kernel tells nobody of the elements that rules add, refresh and let expire. So the owner's Reader reads the sets once a second
// and tells what is different, as records of table 3 in the same lane as the connections; a copy's Applier puts them into its own
// kernel's sets. Elements travel as netlink attributes, so nothing of them is lost that the kernel tells: concatenations, intervals,
// verdicts, objects, comments, and the expressions of an element with the state that the kernel gives out (counters, quotas; not how
// much of a limit is used up, nor how many connections a connlimit has seen). A library of typed elements (google/nftables) knows only
// some of these, and allocates for each element of a set that is read every second.
//
// # What is told, and when
//
// A new element and another value: at once. That an element is gone: when two readings in a row lack it, unless it was to expire
// anyway, since the kernel may leave elements out while it resizes a set's table. Another moment of expiry: when it has moved by an
// eighth of the element's time-out, and at least by RefreshSlack, so that a meter does not tell of every client every second: a copy's
// element may expire that much too early after a hand-over. The state of expressions: when it has changed, every RefreshEvery.
//
// # Rounds
//
// Now and then (when it becomes the owner, when a member joins, every some minutes) the owner lists all elements: a round. The record
// that ends it has their number. A copy that has got them all deletes what was not among them, and reads its own sets, to bring
// in line what somebody else has changed there. So a lost record, a set emptied by hand on a copy, or a ruleset loaded anew there
// heal. The sets themselves are the policy's: where a copy has not the set, its elements wait.
//
// # Attributes of a record of table 3
//
// Those of the kernel's message about elements, in the sender's byte order (lengths and types; values as nf_tables has them): the
// table's name (NFTA_SET_ELEM_LIST_TABLE), the set's (NFTA_SET_ELEM_LIST_SET), and a list (NFTA_SET_ELEM_LIST_ELEMENTS) of one element,
// or the two of an interval; with op 3 the element has only what finds it. Attribute 64 is the round, [4]byte big-endian, and in the
// record that ends one, without a list, attribute 65 how many elements it has listed. The record's family is the table's.
//
// # Generations
//
// A policy's tables have its generation in their names. Records have the operator's names, and each member translates (Tables), so an install that
// has reached some members and not yet others changes nothing for the lane. After a change of generations a copy puts what it was told into the
// new table, and the owner tells what is different in its own.
//
// A record is checked whole before the kernel sees it, and changes only sets that this member's own configuration names.
//
// The package may import dataplane/conntrack/record, whose record it fills, and no other package of this module. It keeps no goroutine
// and no clock: time is CLOCK_BOOTTIME in ns and comes in as an argument.
package nftset
