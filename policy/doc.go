// SPDX-License-Identifier: Apache-2.0

// Package policy is the bundle that a security policy travels and rests in: an nftables ruleset and what goes with it, with a cluster,
// a generation, a digest, and the signature of management's key. It owns the file format (docs/POLICY.md), its strict and bounded
// reader, the pieces in which a bundle crosses the wire, and the order of generations.
//
// A bundle is a head and a body. The head, some hundred bytes to 16 KiB, names the cluster, the generation and the digest of each piece of
// the body, and is what is signed: who has a head that verifies can take the pieces from anybody, in any order, and tell a forged one at
// once. The digest of a bundle is that of its head, over the body as it is before compression, so that the same content has the same
// digest whatever compressed it.
//
// The package is pure: no clock, no file, no randomness; the time of a new bundle and the private key are arguments. It imports nothing
// of this module; policy/ruleset reads the ruleset's text, policy/store keeps bundles on disk, policy/nft puts them into force.
package policy
