// SPDX-License-Identifier: Apache-2.0

// Package store keeps a member's policies on its disk, so that whatever moment the machine dies at, each generation is there whole or not at
// all. One file per generation, written under another name, synced, renamed, and the directory synced; nothing is ever changed in place, and
// there is no index that could disagree with the files. What is read is verified as if it came from a stranger: digest, signature, cluster.
//
// The package may import policy and no other package of this module.
package store
