// SPDX-License-Identifier: Apache-2.0

// Package ruleset owns the firewall rules that the laboratory's members filter and translate with: nftables text, loaded into a
// member's namespace with the nft command, as a machine does at boot.
//
// It imports nothing of the laboratory but lab/netns.
package ruleset
