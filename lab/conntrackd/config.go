// SPDX-License-Identifier: Apache-2.0

package conntrackd

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/holdfast-project/holdfast/lab/topology"
)

// Sizes, for a table of two million.
const (
	// hashSize is the number of buckets of each cache, hashLimit the most entries in it: beyond it, conntrackd silently takes no more.
	hashSize  = 1 << 20
	hashLimit = 1 << 22
	// resendQueue is how many entries may wait to be acknowledged.
	resendQueue = 1 << 20
	// netlinkBuffer is the first size in bytes of the event socket's buffer, which is doubled up to netlinkGrowth when events are lost.
	netlinkBuffer = 64 << 20
	netlinkGrowth = 512 << 20
	// socketBuffer is in bytes, of each socket between the two.
	socketBuffer = 64 << 20
	// eventLimit is how many events are taken before messages are looked after; 100 by default.
	eventLimit = 1000
	// priority is of SCHED_FIFO: below keepalived's 50, so that no flood of connections keeps it from being heard.
	priority = 40
	// port is of UDP.
	port = 3780
)

// Config is a member's conntrackd.conf. It fails without two members or a segment for synchronisation.
func Config(lab *topology.Lab, o Options, n *topology.Node) (string, error) {
	peer, slot, err := link(lab, n)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	line := func(format string, a ...any) { fmt.Fprintf(&b, format+"\n", a...) }
	line("Sync {")
	line("  Mode FTFW {")
	line("    ResendQueueSize %d", resendQueue)
	if o.Direct {
		line("    DisableExternalCache On")
	}
	line("  }")
	line("  UDP {")
	line("    IPv4_address %s", n.Ports[slot].V4.Addr())
	line("    IPv4_Destination_Address %s", peer.Ports[slot].V4.Addr())
	line("    Port %d", port)
	line("    Interface %s", n.Ports[slot].Device)
	line("    SndSocketBuffer %d", socketBuffer)
	line("    RcvSocketBuffer %d", socketBuffer)
	line("    Checksum off")
	line("  }")
	line("}")
	line("General {")
	line("  Systemd off")
	line("  HashSize %d", hashSize)
	line("  HashLimit %d", hashLimit)
	line("  LogFile %s", o.path(n.Name, "conntrackd.log"))
	line("  LockFile %s", o.path(n.Name, "conntrackd.lock"))
	line("  UNIX {")
	line("    Path %s", o.path(n.Name, "conntrackd.ctl"))
	line("  }")
	line("  NetlinkBufferSize %d", netlinkBuffer)
	line("  NetlinkBufferSizeMaxGrowth %d", netlinkGrowth)
	line("  NetlinkOverrunResync On")
	line("  EventIterationLimit %d", eventLimit)
	line("  Scheduler {")
	line("    Type FIFO")
	line("    Priority %d", priority)
	line("  }")
	line("  Filter From Kernelspace {")
	line("    Address Ignore {")
	line("      IPv4_address 127.0.0.1")
	line("      IPv6_address ::1")
	for i, p := range n.Ports {
		line("      IPv4_address %s", p.V4.Addr())
		line("      IPv6_address %s", p.V6.Addr())
		line("      IPv4_address %s", peer.Ports[i].V4.Addr())
		line("      IPv6_address %s", peer.Ports[i].V6.Addr())
	}
	line("    }")
	line("  }")
	line("}")
	return b.String(), nil
}

// link finds the other member and the slot of the segment that the two synchronise over.
func link(lab *topology.Lab, n *topology.Node) (peer *topology.Node, slot int, err error) {
	members := lab.OfKind(topology.Member)
	if len(members) != 2 {
		return nil, 0, fmt.Errorf("conntrackd: %d members: its reliable mode is for 2", len(members))
	}
	for i, s := range lab.Spec.Segments {
		if s.Role == topology.RoleSync {
			return members[1-n.Index], i, nil
		}
	}
	return nil, 0, errors.New("conntrackd: no segment of role sync to synchronise over")
}

// Script is what keepalived runs: the script that conntrack-tools ships (examples/sync/primary-backup.sh) with a member's
// configuration, each step logged with its time.
func (o Options) script(member string) string {
	return `#!/bin/sh
ctl() {
  conntrackd -C ` + ConfigFile(o.Dir, member) + ` "$@" >/dev/null 2>&1 || echo "$(date +%s.%N) conntrackd $* failed"
  echo "$(date +%s.%N) $*"
}
{
  echo "$(date +%s.%N) state $1"
  case "$1" in
  primary) ctl -c; ctl -f; ctl -R; ctl -B ;;
  backup) ctl -t; ctl -n ;;
  fault) ctl -t ;;
  esac
  echo "$(date +%s.%N) done $1"
} >>` + o.path(member, "script.log") + " 2>&1\n"
}

// ConfigFile is where a member has its configuration, which conntrackd is told as a client too; dir is that of the options.
func ConfigFile(dir, member string) string { return filepath.Join(dir, member, "conntrackd.conf") }

func (o Options) path(member, file string) string { return filepath.Join(o.Dir, member, file) }

// writeFiles writes a member's configuration, and the script of one that serves or stands by.
func writeFiles(lab *topology.Lab, o Options, n *topology.Node) error {
	config, err := Config(lab, o, n)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(o.path(n.Name, ""), 0o700); err != nil {
		return err
	}
	if err := os.WriteFile(ConfigFile(o.Dir, n.Name), []byte(config), 0o600); err != nil {
		return err
	}
	if o.Share != nil {
		return nil
	}
	return os.WriteFile(o.path(n.Name, "primary-backup.sh"), []byte(o.script(n.Name)), 0o700)
}
