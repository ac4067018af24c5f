// SPDX-License-Identifier: Apache-2.0

package ruleset

import (
	"bytes"
	_ "embed" // of the rules
	"fmt"
	"os/exec"
	"strings"

	"github.com/holdfast-project/holdfast/lab/netns"
)

// Stateful is the laboratory's usual ruleset: default drop, stateful, invalid packets dropped, the gateway's external addresses
// as source for what comes from inside and as destination for the server, and the helper of FTP.
//
//go:embed stateful.nft
var Stateful string

// Sharing is Stateful for a cluster that shares load: it takes source ports from the member's part of the range, which it includes
// from the file {defines}. It also leads port 8443 to the published server, and translates both ends of connections to port 2222. It is
// for three segments: clients on ext, servers on int, and published ones on dmz.
//
//go:embed sharing.nft
var Sharing string

// Policy is the text of a policy for the laboratory's cluster: stateful, default drop, and a last statement in its chain forward that
// says what connections may begin. It has a set inet gateway blocked of sources that are dropped.
func Policy(allow string) string { return strings.ReplaceAll(policy, "{allow}", allow) }

//go:embed policy.nft
var policy string

// CloseNew is what empties the chain of Stateful, or of Sharing, that lets connections begin.
const CloseNew = "flush chain inet gateway new\n"

// Load loads rules into a namespace in one transaction.
func Load(ns *netns.NS, rules string) error {
	cmd := exec.Command("nft", "-f", "-")
	var out bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(rules), &out, &out
	err := netns.Start(netns.Place{Net: ns}, cmd)
	if err == nil {
		err = cmd.Wait()
	}
	if err != nil {
		return fmt.Errorf("load a ruleset on %s: %w: %s", ns.Name(), err, bytes.TrimSpace(out.Bytes()))
	}
	return nil
}
