// SPDX-License-Identifier: Apache-2.0

// Package topology owns the laboratory's networks: which nodes and segments there are, which addresses they have, and
// building and removing them with netlink.
//
//	            ext                      int
//	client1 --- [ ] --- fw1 fw2 fw3 --- [ ] --- server1
//	watch-ext - [ ]      |   |   |      [ ] --- watch-int
//	                    [ sync ]
//
// Every segment is a Linux bridge in one namespace of its own (the switch room); every node is a namespace; every cable
// is a veth pair whose one end, the device, is named like the segment and whose other end, the switch port, is named
// NODE-SEGMENT. All namespaces are anonymous (package netns), so that nothing outlives the process that built them and
// any number of laboratories run side by side.
//
// Addresses of segment k (1, 2, ...): 10.k.0.0/16 and fd00:0:0:k::/64; VIPs .0.1 and ::1, further VIPs from .16.1 on;
// members .0.11... and ::11...; clients and servers .1.1... and ::1:1...; watchers .2.1 and ::2:1.
//
// Segments may have servers of their own: on one with Hosts Published are public1, ..., which the servers of the other segments are not
// on.
//
// The package knows nothing of what runs on the nodes. It must not import other packages of the laboratory but netns.
package topology
