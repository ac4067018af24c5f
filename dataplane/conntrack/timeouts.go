// SPDX-License-Identifier: Apache-2.0

package conntrack

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// procNetfilter shows the sysctls of the network namespace of the thread that opens a file below it.
const procNetfilter = "/proc/sys/net/netfilter/"

// Timeouts are how long the kernel keeps a connection without packets, by its protocol and state: the sysctls
// net.netfilter.nf_conntrack_*_timeout*. Those of a `ct timeout` object of nftables are not among them: ctnetlink tells of no
// entry that it has one.
type Timeouts struct {
	// TCP by state, as CTA_PROTOINFO_TCP_STATE numbers them: SYN_SENT is 1, ESTABLISHED 3.
	TCP [10]time.Duration
	// SCTP by state, as CTA_PROTOINFO_SCTP_STATE numbers them: CLOSED is 1, ESTABLISHED 4.
	SCTP [10]time.Duration
	// UDP is for connections without an answer, or that are no stream; UDPStream for those that the kernel calls assured.
	UDP, UDPStream time.Duration
	// GRE and GREStream are the same for GRE.
	GRE, GREStream time.Duration
	// ICMP, ICMPv6, and Generic for all protocols without an own.
	ICMP, ICMPv6, Generic time.Duration
}

// ReadTimeouts reads the sysctls of the calling thread's network namespace. A kernel without a protocol has no sysctl for it: that
// protocol's connections then have the generic time-out, as in the kernel.
func ReadTimeouts() (Timeouts, error) {
	var t Timeouts
	if err := readSeconds("generic_timeout", &t.Generic); err != nil {
		return t, err
	}
	tcp := []struct {
		name   string
		states []int
	}{
		{"syn_sent", []int{1, 9}}, {"syn_recv", []int{2}}, {"established", []int{3}}, {"fin_wait", []int{4}}, {"close_wait", []int{5}},
		{"last_ack", []int{6}}, {"time_wait", []int{7}}, {"close", []int{8}},
	}
	for _, s := range tcp {
		for _, state := range s.states {
			if err := readSeconds("tcp_timeout_"+s.name, &t.TCP[state]); err != nil {
				return t, err
			}
		}
	}
	sctp := []string{1: "closed", 2: "cookie_wait", 3: "cookie_echoed", 4: "established", 5: "shutdown_sent", 6: "shutdown_recd",
		7: "shutdown_ack_sent", 8: "heartbeat_sent"}
	for state, name := range sctp {
		if name == "" {
			continue
		}
		if err := readSeconds("sctp_timeout_"+name, &t.SCTP[state]); err != nil {
			return t, err
		}
	}
	// Until Linux 6.1 the acknowledged heartbeat was a state of its own; it is the established one since.
	t.SCTP[9] = t.SCTP[4]
	for name, to := range map[string]*time.Duration{
		"udp_timeout": &t.UDP, "udp_timeout_stream": &t.UDPStream, "icmp_timeout": &t.ICMP, "icmpv6_timeout": &t.ICMPv6,
		"gre_timeout": &t.GRE, "gre_timeout_stream": &t.GREStream,
	} {
		*to = t.Generic
		if err := readSeconds(name, to); err != nil {
			return t, err
		}
	}
	return t, nil
}

// readSeconds reads a sysctl in seconds; one that this kernel does not have leaves to as it is.
func readSeconds(name string, to *time.Duration) error {
	b, err := os.ReadFile(procNetfilter + "nf_conntrack_" + name)
	if errors.Is(err, fs.ErrNotExist) && name != "generic_timeout" {
		return nil
	}
	if err != nil {
		return fmt.Errorf("conntrack: time-out: %w", err)
	}
	n, err := strconv.ParseUint(strings.TrimSpace(string(b)), 10, 32)
	if err != nil {
		return fmt.Errorf("conntrack: time-out nf_conntrack_%s: %q is not a number of seconds", name, strings.TrimSpace(string(b)))
	}
	*to = time.Duration(n) * time.Second
	return nil
}

// Attributes of CTA_PROTOINFO (enum ctattr_protoinfo, ctattr_protoinfo_tcp, ctattr_protoinfo_sctp): the state is the first of each.
const (
	ctaProtoInfoTCP   = 1
	ctaProtoInfoSCTP  = 3
	ctaProtoInfoState = 1

	ctaProtoInfoTCPFlagsOriginal = 4
	ctaProtoInfoTCPFlagsReply    = 5
	tcpBeLiberal                 = 0x08 // IP_CT_TCP_FLAG_BE_LIBERAL
)

// Of returns how long the kernel would keep the connection of a message (an entry of a dump, or an event) without another packet. It
// is false for a state that has none.
func (t *Timeouts) Of(m Message) (time.Duration, bool) {
	if len(m.Payload) < nfgenLen {
		return 0, false
	}
	attrs := m.Payload[nfgenLen:]
	proto := find(find(find(attrs, ctaTupleOrig), ctaTupleProto), ctaProtoNum)
	if len(proto) != 1 {
		return 0, false
	}
	status := number(find(attrs, ctaStatus))
	stream := status&statusAssured != 0
	either := func(stream bool, yes, no time.Duration) (time.Duration, bool) {
		if stream {
			return yes, true
		}
		return no, true
	}
	state := func(of uint16, by *[10]time.Duration) (time.Duration, bool) {
		s := find(find(find(attrs, ctaProtoInfo), of), ctaProtoInfoState)
		if len(s) != 1 || int(s[0]) >= len(by) || by[s[0]] == 0 {
			return 0, false
		}
		return by[s[0]], true
	}
	switch proto[0] {
	case unix.IPPROTO_TCP:
		return state(ctaProtoInfoTCP, &t.TCP)
	case unix.IPPROTO_SCTP:
		return state(ctaProtoInfoSCTP, &t.SCTP)
	case unix.IPPROTO_UDP, unix.IPPROTO_UDPLITE:
		return either(stream, t.UDPStream, t.UDP)
	case unix.IPPROTO_GRE:
		return either(stream, t.GREStream, t.GRE)
	case unix.IPPROTO_ICMP:
		return t.ICMP, true
	case unix.IPPROTO_ICMPV6:
		return t.ICMPv6, true
	case unix.IPPROTO_DCCP:
		return 0, false // its sysctls went with Linux 6.17; the copies' own time-out is what it had when open
	}
	return t.Generic, true
}
