// SPDX-License-Identifier: Apache-2.0

// Package ftp is as much of a file transfer (RFC 959, RFC 2428) as connection tracking's helper cares for: a control connection
// whose text names addresses and ports, and data connections opened to them, by the client (PASV, EPSV) or by the server (PORT,
// EPRT). What is fetched is a number of bytes that both sides know.
//
// It imports nothing of the laboratory but lab/tap (for Namespace).
package ftp
