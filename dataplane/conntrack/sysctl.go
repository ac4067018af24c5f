// SPDX-License-Identifier: Apache-2.0

package conntrack

// Sysctl is a kernel setting that synchronisation needs.
type Sysctl struct {
	// Path is its file below /proc/sys/net.
	Path string
	// Value is what it is set to, and restored from when the cluster leaves the host.
	Value string
	// Why, for logs and the operator.
	Why string
}

// Sysctls are what synchronisation sets on a member, once connection tracking is there (Load). looseTCP leaves net.netfilter.nf_conntrack_tcp_loose as it is: with it on, a
// gateway picks up a TCP connection in its middle that it does not know, and so translates it anew.
// net.netfilter.nf_conntrack_tcp_be_liberal stays as it is: the copies carry the flags of their own.
func Sysctls(looseTCP bool) []Sysctl {
	s := []Sysctl{{
		Path: "netfilter/nf_conntrack_events", Value: "1",
		Why: "2, the default, never reports the end of connections older than the listener",
	}}
	if !looseTCP {
		s = append(s, Sysctl{
			Path: "netfilter/nf_conntrack_tcp_loose", Value: "0",
			Why: "a connection that no member knows must not be picked up with another translation",
		})
	}
	return s
}

// Load has the kernel load connection tracking and its netlink interface where they are modules: before, the sysctls do not exist, and
// what is set by a file at boot is not either.
func Load() error {
	t, err := Open()
	if err != nil {
		return err
	}
	return t.Close()
}
