// SPDX-License-Identifier: Apache-2.0

package node

import (
	"testing"

	"github.com/holdfast-project/holdfast/ccp"
)

func TestTrafficMeter(t *testing.T) {
	var m trafficMeter
	if p := m.parts(); p[0] != -1 || m.rate(0).window != 0 {
		t.Error("something is known of nothing")
	}
	const second = int64(1e9)
	for i := range int64(30) {
		at := i * second
		n := uint64(i)
		fast := n * 10
		if i > 15 {
			fast += (n - 15) * 290 // it takes 300 a second from here on
		}
		m.take(at, 0, ccp.TrafficView{Taken: fast, Bytes: fast * 60})
		m.take(at, 1, ccp.TrafficView{Taken: n * 100})
	}
	if r := m.rate(0); r.packets != 300 || r.bytes != 18000 || r.window != meterWindow*second {
		t.Errorf("rate %+v", r)
	}
	if p := m.parts(); p[0] != 75 || p[1] != 25 || p[2] != -1 {
		t.Errorf("parts %v", p)
	}
	m.take(31*second, 0, ccp.TrafficView{Taken: 5}) // loaded anew
	if r := m.rate(0); r.window != 0 {
		t.Errorf("after a new gate: %+v", r)
	}
	m.forget(1)
	if p := m.parts(); p[1] != -1 {
		t.Errorf("of a member that is gone: %v", p[1])
	}
}
