// SPDX-License-Identifier: Apache-2.0

// Package neighbour asks the segment questions: who answers for a VIP, and does a neighbour answer at all?
//
// Every question leaves with the member's own address as source, never a VIP: a probe must not teach neighbours a wrong
// MAC. Questions are sent by the caller at once, answers arrive later on a channel. It owns the raw sockets that
// listen while a question is open; it must not import another adapter, nor the node.
package neighbour
