// SPDX-License-Identifier: Apache-2.0

// Package conntrack reads and writes the kernel's connection table over netlink.
//
// Events delivers what the kernel says of entries that begin, change and end; Table puts records into the table, takes them out,
// dumps it, counts it and sets timeouts. Payloads stay netlink bytes: package record turns them into records and back into what
// the kernel takes, this package carries them. What the kernel takes and refuses, and what that costs, is in
// docs/decisions/009-what-conntrack-takes.md.
//
// Everything works in the network namespace of the thread that opened the socket. It needs CAP_NET_ADMIN there. It imports
// package record and no other part of the project.
package conntrack
