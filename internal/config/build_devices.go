// SPDX-License-Identifier: Apache-2.0

package config

import (
	"maps"
	"slices"
	"strings"
)

// MaxWeight is the largest weight of a critical device.
const MaxWeight = 15

// maxDeviceName is the longest name of a critical device, as on the wire.
const maxDeviceName = 32

// unweighted devices have rules of their own.
var unweighted = map[string]string{
	"problem-notification": "it only repeats that another device is in problem",
	"init":                 "a member in INIT is not chosen at all",
	"admin-down":           "a member that was taken down is always chosen last",
}

// weights reads the weights of critical devices: built-in ones, monitors, and those that programs register.
func (b *builder) weights(raw map[string]scalar) map[string]int {
	var all map[string]int
	for _, name := range slices.Sorted(maps.Keys(raw)) {
		s := raw[name]
		if !s.set { // reported by the decoder
			continue
		}
		switch {
		case name == "" || len(name) > maxDeviceName || strings.ContainsFunc(name, func(c rune) bool { return c <= ' ' || c > '~' }):
			b.add(s, "use 1 to 32 printable ASCII characters without spaces", "not a name of a critical device")
			continue
		case unweighted[name] != "":
			b.add(s, "remove it", "%s takes no weight: %s", name, unweighted[name])
			continue
		}
		weight := int(b.number(s, 1, MaxWeight, 1))
		if weight == 1 { // as if it were not there
			continue
		}
		if all == nil {
			all = map[string]int{}
		}
		all[name] = weight
	}
	return all
}
