// SPDX-License-Identifier: Apache-2.0

// Package conversation keeps connections through a gateway busy for as long as a scenario runs, one connection each, never opened
// anew, and says of every one whether it lives, whether what it carried was right, and how long it once stood still.
//
//	ssh        TCP, a short message and its echo again and again; each echo has the sum of all that the server has read
//	download   TCP, a number of bytes at a steady pace, compared byte by byte
//	udp        datagrams and their answers
//	one-way    datagrams from the client only
//	stream     one datagram from the client, then datagrams from the server only
//	ping       ICMP or ICMPv6 echo
//	ftp        a control connection and a data connection again and again, opened by the client and by the server in turn; between
//	           the agreement on a data connection and its opening some time passes, in which the gateway expects it
//
// The server tells datagrams' source as it sees it: a translation that changes within a conversation is its end.
//
// It imports lab/topology (for Node) and lab/ftp; it knows nothing of members' software.
package conversation
