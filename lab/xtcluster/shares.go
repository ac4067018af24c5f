// SPDX-License-Identifier: Apache-2.0

package xtcluster

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/holdfast-project/holdfast/lab/conntrackd"
	"github.com/holdfast-project/holdfast/lab/keepalived"
	"github.com/holdfast-project/holdfast/lab/topology"
)

// protoVRRP is the number of the IP protocol: what members say to each other is nobody's share.
const protoVRRP = "112"

// rules is the whole of the chain of a member that holds some of the shares of n members, a bit each, for iptables-restore: one transaction.
func rules(lab *topology.Lab, n int, held uint) string {
	var b strings.Builder
	b.WriteString("*mangle\n-F PREROUTING\n")
	for _, segment := range lab.Spec.Segments {
		if !segment.Role.HasVIPs() {
			continue
		}
		end := []string{"-j", "DROP"}
		if held != 0 {
			end = drop(n, held) // of all too: it takes what came to the multicast MAC for the host's own
		}
		fmt.Fprintf(&b, "-A PREROUTING -i %s ! -p %s %s\n", segment.Name, protoVRRP, strings.Join(end, " "))
	}
	b.WriteString("COMMIT\n")
	return b.String()
}

// script is what a member's keepalived runs all the time, with the FIFO that it writes states to as its argument: it loads the rules for the shares that
// the member holds and writes them into the file "held". What it inherits it has conntrackd take for its own, so that the other gets it all when it comes
// back and asks. It holds nothing before keepalived says so, and once that ends.
func (s *Synced) script(member string) string {
	var cases strings.Builder
	for _, n := range s.lab.OfKind(topology.Member) {
		fmt.Fprintf(&cases, "  '\"%s\"') bit=%d ;;\n", keepalived.ShareGroup(n.Index), 1<<n.Index)
	}
	return `#!/bin/sh
cd "` + filepath.Join(s.dir, member) + `" || exit 1
exec >>shares.log 2>&1
load() {
  ` + RestoreCommand + ` --noflush <"rules.$held" && echo "$held" >held.new && mv held.new held
  echo "$(date +%s.%N) holds $held"
}
held=0
trap 'held=0; load; exit' TERM
load
conntrackd -C "` + conntrackd.ConfigFile(s.dir, member) + `" -n
while read -r kind name state rest; do
  [ "$kind" = GROUP ] || continue
  case "$name" in
` + cases.String() + `  *) continue ;;
  esac
  was=$held
  if [ "$state" = MASTER ]; then held=$((held | bit)); else held=$((held & ~bit)); fi
  [ "$held" != "$was" ] || continue
  load
  [ "$held" != ` + fmt.Sprint(s.all()) + ` ] || conntrackd -C "` + conntrackd.ConfigFile(s.dir, member) + `" -R
done <"$1"
held=0
load
`
}

// all are the shares of all members, a bit each.
func (s *Synced) all() uint { return 1<<len(s.lab.OfKind(topology.Member)) - 1 }

// writeFiles writes a member's script and the rules that it loads.
func (s *Synced) writeFiles(member string) error {
	n := len(s.lab.OfKind(topology.Member))
	for held := uint(0); held <= s.all(); held++ {
		if err := os.WriteFile(filepath.Join(s.dir, member, fmt.Sprintf("rules.%d", held)), []byte(rules(s.lab, n, held)), 0o600); err != nil {
			return err
		}
	}
	return os.WriteFile(s.scriptFile(member), []byte(s.script(member)), 0o700)
}

func (s *Synced) scriptFile(member string) string { return filepath.Join(s.dir, member, "shares.sh") }
