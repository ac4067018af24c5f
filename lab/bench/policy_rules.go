// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"fmt"
	"strings"
)

// heavyRules is a ruleset with so many rules and elements of a set, as a long list of addresses and a rule for each of many services
// make it. Rulesets of different rounds differ in every rule.
func heavyRules(rules, elements, round int) string {
	var b strings.Builder
	b.Grow(50*rules + 14*elements + 1024)
	b.WriteString("table inet filter {\n\tset listed {\n\t\ttype ipv4_addr\n\t\telements = { ")
	for i := range elements {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "10.%d.%d.%d", i>>16&255, i>>8&255, i&255)
	}
	b.WriteString(" }\n\t}\n\n\tchain forward {\n\t\ttype filter hook forward priority filter; policy drop;\n" +
		"\t\tct state established,related accept\n\t\tip saddr @listed accept\n")
	for i := range rules {
		fmt.Fprintf(&b, "\t\tip saddr 172.16.%d.%d tcp dport %d accept\n", i>>8&255, i&255, (i+round)%65535+1)
	}
	b.WriteString("\t}\n}\n")
	return b.String()
}
