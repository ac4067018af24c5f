// SPDX-License-Identifier: Apache-2.0

package members

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/holdfast-project/holdfast/lab/topology"
)

// Options say how the cluster is configured. Zero fields leave what is not given to holdfastd's own defaults.
type Options struct {
	// Binary is the path of holdfastd; "" looks beside this executable, in ./bin and on PATH.
	Binary string
	// Dir is the laboratory's directory; it must exist, and its path must be short enough for a socket's (60 bytes).
	Dir string
	// Cluster is the cluster's number; 0 means 7.
	Cluster uint16
	// Profile, Recovery and Transport are the configuration's words.
	Profile, Recovery, Transport string
	// Timers are timers that differ from the profile: "hold-down: 1s".
	Timers map[string]string
	// Method makes the mode load-sharing, "multicast" or "unicast"; "" is mode ha. Sharing has YAML added to the mode's section:
	// "weights: {fw1: 30, fw2: 70}".
	Method  string
	Sharing []string
	// NoVMAC lets members answer with their own MAC.
	NoVMAC bool
	// NoNeighbours leaves the list of known neighbours empty.
	NoNeighbours bool
	// Attach says where the gate sits: auto, xdp, tcx.
	Attach string
	// Extra is YAML added at the end of the configuration; {dir} in it becomes Dir.
	Extra string
	// Interfaces has YAML added to interfaces by segment: "monitored: false".
	Interfaces map[string][]string
	// Ruleset is nftables text that every member loads when it boots, before its daemon starts; "" is none. {defines} in it becomes the
	// path of the member's definitions for load sharing, which are written before.
	Ruleset string
	// Sysctls are set when a member boots, below /proc/sys/net: "netfilter/nf_conntrack_udp_timeout".
	Sysctls map[string]string
	// Policy has YAML of the section policy, a line each: "enforce: true"; nil is no section.
	Policy []string
	// BeforeStart is called for a member whose machine is on, each time before its daemon starts; may be nil.
	BeforeStart func(m *Member) error
	// Builds names the members that are not of ThisBuild at first.
	Builds map[string]Build
}

// memberDir is where a member's own files are.
func (o Options) memberDir(member string) string { return filepath.Join(o.Dir, member) }

// Socket returns the path of a member's control socket.
func (o Options) Socket(member string) string {
	return filepath.Join(o.memberDir(member), "control.sock")
}

// Log returns the path of the file that a member's daemon writes its log to.
func (o Options) Log(member string) string {
	return filepath.Join(o.memberDir(member), "holdfastd.log")
}

// Config returns the path of the cluster's configuration.
func (o Options) Config() string { return filepath.Join(o.Dir, "cluster.yaml") }

// OwnConfig returns the path of a member's configuration if it has one of its own.
func (o Options) OwnConfig(member string) string {
	return filepath.Join(o.Dir, "cluster-"+member+".yaml")
}

// Expand replaces {dir} by the laboratory's directory.
func (o Options) Expand(text string) string { return strings.ReplaceAll(text, "{dir}", o.Dir) }

// writeFiles writes the configuration and its key, and makes the members' directories.
func writeFiles(lab *topology.Lab, o Options) error {
	for _, n := range lab.OfKind(topology.Member) {
		if err := os.MkdirAll(filepath.Join(o.memberDir(n.Name), "state"), 0o700); err != nil {
			return err
		}
	}
	var key [32]byte
	if _, err := rand.Read(key[:]); err != nil {
		return err
	}
	line := "1:" + base64.StdEncoding.EncodeToString(key[:]) + "\n"
	if err := os.WriteFile(filepath.Join(o.Dir, "cluster.key"), []byte(line), 0o600); err != nil {
		return err
	}
	return os.WriteFile(o.Config(), []byte(YAML(lab, o)), 0o644)
}

// YAML is the cluster's configuration for a topology.
func YAML(lab *topology.Lab, o Options) string {
	var b strings.Builder
	line := func(format string, a ...any) { fmt.Fprintf(&b, format+"\n", a...) }
	cluster := o.Cluster
	if cluster == 0 {
		cluster = 7
	}
	line("id: %d", cluster)
	line("name: lab")
	writeMode(line, o)
	for _, kv := range [][2]string{{"recovery", o.Recovery}, {"profile", o.Profile}, {"attach", o.Attach}} {
		if kv[1] != "" {
			line("%s: %s", kv[0], kv[1])
		}
	}
	if o.NoVMAC {
		line("vmac: false")
	}
	if o.Transport != "" {
		line("ccp: {transport: %s}", o.Transport)
	}
	line("key-file: cluster.key")
	line("control: {socket: %q}", o.Socket("{member}"))
	line("state-dir: %q", filepath.Join(o.memberDir("{member}"), "state"))
	if len(o.Timers) > 0 {
		line("timers:")
		for _, name := range sorted(o.Timers) {
			line("  %s: %s", name, o.Timers[name])
		}
	}
	if o.Policy != nil {
		line("policy:")
		for _, extra := range o.Policy {
			line("  %s", o.Expand(extra))
		}
	}
	line("members:")
	for _, n := range lab.OfKind(topology.Member) {
		line("  - name: %s", n.Name)
		line("    interfaces:")
		for _, p := range n.Ports {
			line("      %s: {device: %s, addresses: [%s, %q], mac: %q}", p.Segment, p.Device, p.V4, p.V6, p.MAC)
		}
	}
	line("interfaces:")
	for i := range lab.Spec.Segments {
		writeInterface(line, lab, o, i)
	}
	b.WriteString(o.Expand(o.Extra))
	return b.String()
}

// writeMode writes the mode, and its section if it has one.
func writeMode(line func(string, ...any), o Options) {
	if o.Method == "" {
		line("mode: ha")
		return
	}
	line("mode: load-sharing")
	line("load-sharing:")
	line("  method: %s", o.Method)
	for _, extra := range o.Sharing {
		line("  %s", extra)
	}
}

// override puts each line in the place of the top-level entry of the same key, with all that is below it, or at the end.
func override(yaml string, lines []string) string {
	for _, line := range lines {
		key, _, _ := strings.Cut(line, ":")
		var out []string
		below := false
		for _, old := range strings.Split(strings.TrimSuffix(yaml, "\n"), "\n") {
			if !strings.HasPrefix(old, " ") {
				below = strings.HasPrefix(old, key+":")
			}
			if !below {
				out = append(out, old)
			}
		}
		yaml = strings.Join(append(out, line), "\n") + "\n"
	}
	return yaml
}

func writeInterface(line func(string, ...any), lab *topology.Lab, o Options, i int) {
	segment, plan := lab.Spec.Segments[i], lab.Spec.Net(i)
	line("  - name: %s", segment.Name)
	line("    role: %s", segment.Role)
	for _, extra := range o.Interfaces[segment.Name] {
		line("    %s", extra)
	}
	if len(plan.VIPs) == 0 {
		return
	}
	line("    vips:")
	for _, v := range plan.VIPs {
		line("      - %q", v)
	}
	line("    link-local: %q", plan.LinkLocal)
	if lab.Spec.SLAAC && segment.Hosts == topology.Clients {
		line("    router-advert:")
		line("      interval: 4s")
		line("      prefixes:")
		line("        - {prefix: %q}", plan.V6)
	}
	if o.NoNeighbours {
		return
	}
	var neighbours []string
	for _, p := range lab.PortsOn(segment.Name) {
		if n, err := lab.Node(p.Node); err == nil && n.Kind != topology.Member {
			neighbours = append(neighbours, p.V4.Addr().String())
		}
	}
	if len(neighbours) > 0 {
		line("    neighbours: [%s]", strings.Join(neighbours[:min(2, len(neighbours))], ", "))
	}
}
