// SPDX-License-Identifier: Apache-2.0

// Package record is what members tell each other about their connection tables: one record for each thing that began, changed or ended.
//
// A record carries netlink attributes as the kernel's ctnetlink takes them, so that the receiver hands them to its own kernel as they
// are. FromMessage makes a record of what the kernel says (an event or an entry of a dump); on the way it rewrites what the kernel would
// refuse, or take and ignore. Checker refuses what a hostile sender could make of a record, Rules say which connections are copied at
// all, Hasher gives a connection its identity, and Tally adds identities up to a digest of a whole table.
//
// The package is pure: it opens no socket, and time comes in as an argument. It knows ctnetlink from
// net/netfilter/nf_conntrack_netlink.c of Linux 6.1 to 6.18, by which all statements about "the kernel" in this package were checked.
//
// # On the wire
//
//	 0               1               2               3
//	+-------------------------------+---------------+---------------+
//	| length, big-endian            | table         | op            |
//	+---------------+---------------+---------------+---------------+
//	| family        | reserved, zero                                |
//	+---------------+-----------------------------------------------+
//	| attributes, padded with zeros to a multiple of 4              |
//	+---------------------------------------------------------------+
//
// The length counts the header (8 bytes) and the attributes, not the padding. The attributes of tables 1 and 2 are netlink attributes in
// the byte order of the sender's machine: lengths and types little-endian (every machine that Holdfast runs on), values as ctnetlink has
// them. Those of table 3 are defined by the sets' codec, those of table 4 by Mark.
package record
