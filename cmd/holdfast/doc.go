// SPDX-License-Identifier: Apache-2.0

// Command holdfast is the operator's tool: it asks and instructs the member it runs on, over the control socket, and works on
// configuration, key and policy files. It owns nothing but how things look; it must not import the node or any adapter, but for policy/nft, with
// which "policy check" tries rulesets in a namespace of its own.
//
// Nouns only look (state, interfaces, devices, vips, events, timers, why, counters); verbs change something (failover to, admin,
// reload, stop, restart, load weight). Called as cphaprob it understands the spelling that hands know.
package main
