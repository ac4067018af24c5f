// SPDX-License-Identifier: Apache-2.0

package node

import (
	"github.com/holdfast-project/holdfast/ccp"
)

// Measured shares and rates are of the last meterWindow samples, one a second.
const meterWindow = 10

// trafficSample is what one member's gate had counted at a time.
type trafficSample struct {
	at    int64
	count ccp.TrafficView
}

// trafficMeter knows what each member took lately, by what the members say themselves.
type trafficMeter struct {
	of [ccp.MaxMembers][]trafficSample // oldest first
}

// rate is what a member took within the window.
type rate struct {
	packets, bytes float64 // a second
	window         int64   // ns; 0: nothing is known
}

// take notes what a member's gate has counted at now. A gate that counts from zero again begins anew.
func (m *trafficMeter) take(now int64, member uint8, count ccp.TrafficView) {
	s := m.of[member]
	if len(s) > 0 && count.Taken < s[len(s)-1].count.Taken {
		s = s[:0]
	}
	if len(s) > meterWindow {
		s = append(s[:0], s[1:]...)
	}
	m.of[member] = append(s, trafficSample{now, count})
}

// forget is for a member that is not heard any more.
func (m *trafficMeter) forget(member uint8) { m.of[member] = m.of[member][:0] }

// rate returns what a member took within the window.
func (m *trafficMeter) rate(member uint8) rate {
	s := m.of[member]
	if len(s) < 2 {
		return rate{}
	}
	first, last := s[0], s[len(s)-1]
	d := last.at - first.at
	if d <= 0 {
		return rate{}
	}
	perSecond := 1e9 / float64(d)
	return rate{
		packets: float64(last.count.Taken-first.count.Taken) * perSecond,
		bytes:   float64(last.count.Bytes-min(first.count.Bytes, last.count.Bytes)) * perSecond,
		window:  d,
	}
}

// parts are the members' parts of all packets taken, in percent; -1 where that is not known.
func (m *trafficMeter) parts() (percent [ccp.MaxMembers]float64) {
	sum := 0.0
	for i := range m.of {
		sum += m.rate(uint8(i)).packets
	}
	for i := range m.of {
		r := m.rate(uint8(i))
		percent[i] = -1
		if r.window > 0 && sum > 0 {
			percent[i] = 100 * r.packets / sum
		}
	}
	return percent
}
