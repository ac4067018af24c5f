// SPDX-License-Identifier: Apache-2.0

package keepalived

import (
	"testing"

	"github.com/holdfast-project/holdfast/lab/topology"
)

// Every share is its own member's before all others', who differ; all members have the same virtual routers, no two of a number.
func TestShareGroups(t *testing.T) {
	for _, count := range []int{2, 3} {
		lab := &topology.Lab{}
		for i := range count {
			lab.Nodes = append(lab.Nodes, &topology.Node{Name: topology.MemberName(i), Kind: topology.Member, Index: i})
		}
		priorities := map[string]map[int]bool{}
		for _, n := range lab.Nodes {
			all := groups(lab, Options{Shares: true}, n)
			if len(all) != count {
				t.Fatalf("%s of %d: %+v", n.Name, count, all)
			}
			ids := map[int]bool{}
			for i, g := range all {
				if g.name != ShareGroup(i) || (g.priority == firstPriority) != (i == n.Index) || len(g.routers) != 1 || g.routers[0].family != 0 {
					t.Errorf("%s of %d: %+v", n.Name, count, g)
				}
				ids[g.routers[0].id] = true
				if priorities[g.name] == nil {
					priorities[g.name] = map[int]bool{}
				}
				priorities[g.name][g.priority] = true
			}
			if len(ids) != count {
				t.Errorf("%s of %d: virtual routers %v", n.Name, count, ids)
			}
		}
		for name, p := range priorities {
			if len(p) != count {
				t.Errorf("%s of %d: priorities %v", name, count, p)
			}
		}
	}
	one := groups(&topology.Lab{}, Options{}, &topology.Node{Index: 1})
	if len(one) != 1 || one[0].name != gateway || one[0].priority != firstPriority-priorityStep || len(one[0].routers) != 2 {
		t.Errorf("without shares: %+v", one)
	}
}
