// SPDX-License-Identifier: Apache-2.0

package conntrackd

import "testing"

func TestParseStats(t *testing.T) {
	const text = "cache internal:\ncurrent active connections:\t          12\nconnections created:\t\t          20\tfailed:\t           0\n\n" +
		"cache external:\ncurrent active connections:\t         345\nconnections created:\t\t         400\tfailed:\t           0\n\ntraffic processed:\n"
	got, err := parseStats(text)
	if err != nil || got != (Stats{Internal: 12, External: 345}) {
		t.Errorf("%+v, %v", got, err)
	}
	for _, bad := range []string{"", "traffic processed:\n", "cache internal:\ncurrent active connections: many\n"} {
		if _, err := parseStats(bad); err == nil {
			t.Errorf("%q is read", bad)
		}
	}
}
