// SPDX-License-Identifier: Apache-2.0

package config

import (
	"strings"
	"testing"
	"time"
)

func TestSyncServices(t *testing.T) {
	all, err := SyncServices("42.policy", map[string]string{"http": "3s", "udp/53": "never"})
	if err != nil || len(all) != 2 || all[0].First != 80 || all[0].After != 3*time.Second || !all[1].Never {
		t.Errorf("%v %v", all, err)
	}
	for service, says := range map[string]string{"gopher": "not a service known by name", "gre/7": "has no ports", "tcp/80": "some of the same connections"} {
		_, err := SyncServices("42.policy", map[string]string{"http": "3s", service: "never"})
		if err == nil || !strings.Contains(err.Error(), says) || !strings.Contains(err.Error(), "42.policy") {
			t.Errorf("%s: %v", service, err)
		}
	}
}
