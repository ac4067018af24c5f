// SPDX-License-Identifier: Apache-2.0

// Package churn opens new connections through a gateway at a given rate: tens of thousands a second, UDP or TCP, each with a
// tuple of its own.
//
// The client sends each connection's first packet (a datagram, or a SYN) as a raw packet from its own address: no socket a
// connection. A BPF program at each end's device (package churn/bpf) does the rest in the kernel: the server answers, a TCP
// client completes the handshake and, if asked to, closes. So the price of a connection is that of its packets, and what is
// measured beside it is the gateway.
//
// Connection n of a run goes from port 1024 + n % 64000 of the client to the server's port Config.FirstPort + n / 64000: which
// connections were opened in a time, and what their tuples are, can be told afterwards (Run.Opened, Run.Flow).
//
//	run, err := churn.Start(ctx, churn.Config{Client: client, Server: server, Rate: 20000, Answer: true})
//	...
//	first, end := run.Opened(from, to)    // numbers of the connections opened in that time
//	report, err := run.Stop()
//
// It imports lab/topology (for Node) and what that imports; it knows nothing of members' software.
package churn
