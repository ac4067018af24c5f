// SPDX-License-Identifier: Apache-2.0

package config

import (
	"slices"
	"strings"
	"testing"
)

// TestSixteenMonitored: more interfaces are fine if the others are not monitored.
func TestSixteenMonitored(t *testing.T) {
	text := sound
	for pair := range slices.Chunk(append([]string{"  - {name: sync, role: sync}\n", manyInterfaces(13, "")}, manyDevices(13)...), 2) {
		text = strings.Replace(text, pair[0], pair[1], 1)
	}
	if _, err := Parse("cluster.yaml", []byte(text)); err != nil {
		t.Errorf("sixteen: %v", err)
	}
	text = sound
	for pair := range slices.Chunk(append([]string{"  - {name: sync, role: sync}\n", manyInterfaces(29, ", monitored: false")}, manyDevices(29)...), 2) {
		text = strings.Replace(text, pair[0], pair[1], 1)
	}
	if _, err := Parse("cluster.yaml", []byte(text)); err != nil {
		t.Errorf("three of thirty-two: %v", err)
	}
}
