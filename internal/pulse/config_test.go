// SPDX-License-Identifier: Apache-2.0

package pulse

import (
	"errors"
	"testing"
)

func TestValidate(t *testing.T) {
	if err := testConfig().Validate(); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(*Config){
		"no pin directory":  func(c *Config) { c.PinDir = "" },
		"self":              func(c *Config) { c.Self = 8 },
		"dead under 2":      func(c *Config) { c.Dead = 2*c.Probe - 1 },
		"no probe":          func(c *Config) { c.Probe = 0 },
		"transport":         func(c *Config) { c.Transport = "anycast" },
		"peer is self":      func(c *Config) { c.Peers = []uint8{0} },
		"peer twice":        func(c *Config) { c.Peers = []uint8{1, 1} },
		"peer 8":            func(c *Config) { c.Peers = []uint8{8} },
		"slot twice":        func(c *Config) { c.Interfaces[1].Slot = 1 },
		"no index":          func(c *Config) { c.Interfaces[1].Index = 0 },
		"priority":          func(c *Config) { c.Priority = 100 },
		"interfaces":        func(c *Config) { c.Interfaces = make([]Interface, MaxInterfaces+1) },
		"long name of port": func(c *Config) { c.Interfaces[0].Name = string(make([]byte, 256)) },
	} {
		c := testConfig()
		spoil(c)
		if err := c.Validate(); !errors.Is(err, errConfig) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
