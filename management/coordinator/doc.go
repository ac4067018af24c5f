// SPDX-License-Identifier: Apache-2.0

// Package coordinator is the live half of management: what members report, held in memory, what they are ordered, and the installs under way, over
// management/records. Only changes reach the store: 5,000 members that report every second write nothing.
//
// A member's report is answered at once if what it is ordered differs from what it saw last (Orders.Serial), and otherwise after Options.Hold;
// a newer report of the same member releases the older one. So a report is heartbeat and long poll in one.
//
// Several servers may work on one store. A member reports to one of them, an install runs on one of them, and they need not be the same: an
// attempt is run by who holds its cluster's lease; the others follow what is stored, order their members accordingly, and pass on through the
// store what members of a cluster with an attempt under way report. When the lease is lost, another server takes it and the attempt over
// (package rollout says how that ends).
package coordinator
