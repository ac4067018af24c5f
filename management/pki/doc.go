// SPDX-License-Identifier: Apache-2.0

// Package pki is management's own certificate authority: it makes the authority, issues certificates for servers, members and people, and says
// whose a certificate is and what is wrong with it. Which of them are revoked rests in management's store: see package server.
//
// All keys are ECDSA on P-256. A certificate says whose it is in one URI, and nothing else in it does:
//
//	holdfast:server/HOST             for servers' TLS; its host names and addresses are SANs as well
//	holdfast:member/CLUSTER/MEMBER   for clients' TLS
//	holdfast:person/USER             for clients' TLS
//
// The package has no clock and no randomness: both are arguments. It imports management, for the names of kinds, and no other package of this
// module.
package pki
