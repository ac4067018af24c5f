// SPDX-License-Identifier: Apache-2.0

package xtcluster

import (
	"testing"

	"github.com/holdfast-project/holdfast/lab/topology"
)

func TestRules(t *testing.T) {
	lab := &topology.Lab{Spec: topology.DefaultSpec("xt", 2)}
	const match = " -m cluster --cluster-total-nodes 2 ! --cluster-local-nodemask "
	const end = " --cluster-hash-seed 1752132708 -j DROP\n"
	for held, want := range []string{
		"-A PREROUTING -i ext ! -p 112 -j DROP\n-A PREROUTING -i int ! -p 112 -j DROP\n",
		"-A PREROUTING -i ext ! -p 112" + match + "1" + end + "-A PREROUTING -i int ! -p 112" + match + "1" + end,
		"-A PREROUTING -i ext ! -p 112" + match + "2" + end + "-A PREROUTING -i int ! -p 112" + match + "2" + end,
		"-A PREROUTING -i ext ! -p 112" + match + "3" + end + "-A PREROUTING -i int ! -p 112" + match + "3" + end,
	} {
		if got := rules(lab, 2, uint(held)); got != "*mangle\n-F PREROUTING\n"+want+"COMMIT\n" {
			t.Errorf("%#b:\n%s", held, got)
		}
	}
}
