// SPDX-License-Identifier: Apache-2.0

// Package observe watches a topology from outside while something is done to its members: traffic from a client to a server and
// back, a prober on every segment with virtual addresses, and a look at every packet that a member forwards. It is the same for
// every cluster software, so that what it says of two of them can be compared.
//
// It imports topology, traffic and prober, and knows nothing of what runs on the members.
package observe
