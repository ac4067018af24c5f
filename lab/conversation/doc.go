// SPDX-License-Identifier: Apache-2.0

// Package conversation keeps connections through a gateway busy for as long as a scenario runs, one connection each, never opened
// anew (but of kind web), and says of every one whether it lives, whether what it carried was right, and how long it once stood
// still.
//
//	ssh        TCP, a short message and its echo again and again; each echo has the sum of all that the server has read
//	download   TCP, a number of bytes at a steady pace, compared byte by byte
//	udp        datagrams and their answers
//	one-way    datagrams from the client only
//	stream     one datagram from the client, then datagrams from the server only
//	ping       ICMP or ICMPv6 echo
//	ftp        a control connection and a data connection again and again, opened by the client and by the server in turn; between
//	           the agreement on a data connection and its opening some time passes, in which the gateway expects it
//	web        short TCP connections one after the other: a request, a page with its checksum, the end
//	large      datagrams of three fragments, sent in every order, and their answers
//	tunnel     GRE, which has no ports, and what comes back
//
// Conversations of a group begin one after the other within the time between two messages, so that thousands of them are a steady
// stream and not a flood every so often.
//
// The server tells datagrams' source as it sees it: a translation that changes within a conversation is its end.
//
// It imports lab/topology (for Node) and lab/ftp; it knows nothing of members' software.
package conversation
