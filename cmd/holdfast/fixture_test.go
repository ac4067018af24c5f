// SPDX-License-Identifier: Apache-2.0

package main

import (
	"time"

	"github.com/holdfast-project/holdfast/internal/control"
	"github.com/holdfast-project/holdfast/internal/control/controltest"
)

var noon = time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)

func before(d time.Duration) time.Time { return noon.Add(-d) }

// edge is a member of a three-member cluster after a failover, as seen from gw-b, which serves.
func edge() *controltest.Backend {
	announced, until := before(20*time.Second), noon.Add(8*time.Minute)
	age := 566_100.0
	failover := control.Failover{Number: 2, Time: before(3 * time.Minute), From: "gw-a", To: "gw-b", Term: 8, Kind: "silence", Peer: "gw-a",
		Reason: "gw-a is silent on all interfaces", TakeoverMs: 0.42, GapMs: 31.5}
	first := control.Failover{Number: 1, Time: before(30 * time.Hour), To: "gw-a", Term: 7, Kind: "boot", Reason: "no member served", TakeoverMs: 0.2}
	return &controltest.Backend{
		StateV: control.State{
			Cluster: "edge", ClusterID: 7, Mode: "ha", Recovery: "maintain-current", Profile: "appliance", Self: 1, Version: "v1.0", Protocol: 1, ConfigDigest: "00ff00ff00ff00ff",
			Members: []control.MemberState{
				{ID: 0, Name: "gw-a", Address: "10.99.0.2", State: "LOST", Since: before(3 * time.Minute), AgeMs: 180_031, Reason: "silent on all interfaces"},
				{ID: 1, Name: "gw-b", Local: true, Address: "10.99.0.3", State: "ACTIVE(!)", Since: before(3 * time.Minute), Term: 8, Answer: true, Forward: true,
					Problems: []string{"db", "backup"}, NotOK: []control.NotOK{{Device: "db", Status: "problem", Reason: "no answer on 5432"}, {Device: "backup", Status: "init"}},
					LoadPercent: 12.4, Version: "v1.0", Protocol: 1, ConfigDigest: "00ff00ff00ff00ff", Reason: "nobody else can serve"},
				{ID: 2, Name: "gw-c", Address: "10.99.0.4", State: "DOWN", Since: before(26 * time.Hour), AgeMs: 3.2, Problems: []string{"admin-down"},
					NotOK:       []control.NotOK{{Device: "admin-down", Status: "problem", Reason: "taken down by the operator"}},
					LoadPercent: 1, Version: "v0.9", Protocol: 1, ConfigDigest: "1111111111111111"},
			},
			LastChange: &control.Event{Seq: 9, Time: before(3 * time.Minute), Code: "attention", Member: "gw-b", From: "STANDBY", To: "ACTIVE(!)",
				Reason: "gw-a is silent on all interfaces"},
			LastFailover: &failover, Failovers: 2, FailoversSince: before(31 * time.Hour), Forced: "gw-b", ForcedUntil: &until,
			Frozen:   []control.Freeze{{By: "gw-c", Until: noon.Add(25 * time.Second), LeftMs: 25_000}},
			Flap:     &control.Flap{Budget: 5, Left: 3, Window: control.Duration(10 * time.Minute)},
			Warnings: []string{"key 2 is not confirmed by gw-a"},
		},
		InterfacesV: control.Interfaces{Member: "gw-b", Transport: "unicast", Required: 3, Up: 1, Interfaces: []control.InterfaceState{
			{Name: "outside", Device: "eth0", Role: "cluster", Monitored: true, Status: "UP", Carrier: true, In: true, Out: true, InAgeMs: 2, OutAgeMs: 3,
				Attached: "tcx", MAC: "3c:ec:ef:00:00:03", VMAC: "02:48:00:07:00:00", Addresses: []string{"192.0.2.3/24"}, VIPs: 2,
				Peers: []control.PeerLink{{Member: "gw-a", AgeMs: 180_031}, {Member: "gw-c", Up: true, AgeMs: 4.1, RTTUs: 84.2, MAC: "3c:ec:ef:00:00:04",
					Says: &control.PeerInterface{Carrier: true, Problem: true, Proven: true, CarrierAgeMs: &age, OutAgeMs: &age}}}},
			{Name: "inside", Device: "bond0.100", Slot: 1, Role: "cluster", Monitored: true, Status: "DOWN", Carrier: true, In: true, OutAgeMs: 566_100,
				Attached: "tcx", VMAC: "02:48:00:07:01:00", Addresses: []string{"10.0.0.3/24", "2001:db8:2::3/64"}, VIPs: 1, Reason: "inside is silent (receive up, transmit down): neither gw-c nor a neighbour is heard",
				Trunk: "core", VLAN: 100, Bond: &control.BondState{Name: "bond0", Up: 2, Links: 2, MinLinks: 2}, Group: "lans"},
			{Name: "guests", Device: "bond0.200", Slot: 4, Role: "cluster", Status: "non-monitored", Carrier: true, Attached: "tcx", Trunk: "core", VLAN: 200,
				Bond: &control.BondState{Name: "bond0", Up: 2, Links: 2}, Addresses: []string{"10.20.0.3/24"}, VIPs: 1, Reason: "not among what trunk core monitors"},
			{Name: "sync", Device: "eth3", Slot: 2, Role: "sync", Monitored: true, Status: "undecided", Carrier: true, InAgeMs: -1, OutAgeMs: -1, Attached: "tcx", Group: "lans",
				Reason: "gw-c is silent on sync and no neighbour can tell whose fault it is", Addresses: []string{"10.99.0.3/24"}},
			{Name: "mgmt", Device: "eth4", Slot: 3, Role: "private", Status: "non-monitored"},
		}, Groups: []control.GroupState{{Name: "lans", Interfaces: []string{"inside", "sync"}, Up: 0, MinUp: 1,
			Reason: "group lans: 0 of 2 interfaces well, needs 1: inside is silent (receive up, transmit down): neither gw-c nor a neighbour is heard"}}},
		DevicesV: control.Devices{Member: "gw-b", Devices: []control.Device{
			{Name: "interface-active-check", Status: "ok", BuiltIn: true, Since: before(31 * time.Hour), Reported: before(time.Second), Weight: 3,
				Meaning: "a required interface has failed on this member's side"},
			{Name: "config", Status: "problem", BuiltIn: true, Since: before(time.Hour), Reported: before(2 * time.Second), Reason: "gw-c has another configuration",
				Weight: 1, Meaning: "this member runs with another cluster-wide configuration or mode than the one it joins"},
			{Name: "db", Status: "problem", TimeoutSec: 30, Weight: 1, Since: before(10 * time.Second), Reported: before(10 * time.Second), Reason: "no answer on 5432"},
			{Name: "uplink", Status: "ok", TimeoutSec: 15, Weight: 1, Since: before(2 * time.Hour), Reported: before(time.Second), Monitors: []string{"ping-isp"}},
			{Name: "batch", Status: "ok", Weight: 1, Since: before(2 * time.Hour), Reported: before(90 * time.Minute), Persistent: true},
		}},
		VIPsV: control.VIPs{Member: "gw-b", Serving: true, VIPs: []control.VIP{
			{Address: "192.0.2.1", Prefix: "192.0.2.0/24", Interface: "outside", Kind: "vip", MAC: "02:48:00:07:00:00", Holder: "gw-b", Announced: &announced},
			{Address: "192.0.2.80", Interface: "outside", Kind: "proxy", MAC: "02:48:00:07:00:00", Holder: "gw-b", Announced: &announced},
			{Address: "10.0.0.1", Prefix: "10.0.0.0/24", Interface: "inside", Kind: "vip", MAC: "02:48:00:07:01:00", Holder: "gw-b", Announced: &announced},
		}},
		FailoversV: control.Failovers{Count: 2, Since: before(31 * time.Hour), Why: "boot", History: []control.Failover{first, failover}},
		HistoryV: control.History{Member: "gw-b", Changes: []control.Event{
			{Time: before(30 * time.Hour), Code: "peer-state", Number: 304, Severity: "info", Member: "gw-a", Peer: "gw-a", From: "READY", To: "ACTIVE", Reason: "gw-a: it serves"},
			{Time: before(20 * time.Minute), Code: "down", Number: 107, Severity: "warning", Member: "gw-b", From: "STANDBY", To: "DOWN",
				Device: "interface-active-check", Interface: "inside", Reason: "inside has no carrier"},
			{Time: before(3 * time.Minute), Code: "active", Number: 102, Severity: "info", Member: "gw-b", Peer: "gw-a", From: "STANDBY", To: "ACTIVE", Term: 8, GapMs: 31.5,
				Reason: "gw-a is silent on all interfaces"},
		}},
		TimersV: control.Timers{Profile: "appliance", Timers: []control.Timer{
			{Name: "probe", ValueMs: 5, DefaultMs: 10, Formula: "profile", Settable: true, Meaning: "between two probes to a peer, on each interface"},
			{Name: "soft", ValueMs: 20, DefaultMs: 20, Formula: "dead - probe", Meaning: "age at which an unwatched lease ends"},
		}, Margins: []string{"gw-a: a received packet was handled 12.3 ms late, 61 % of the 20.0 ms that the timer dead bears"},
			Used: []control.Margin{
				{Member: "gw-b", Timer: "probe", Measure: "probe-jitter", ValueMs: 0.11, LimitMs: 10, UsedPercent: 1},
				{Member: "gw-b", Timer: "dead", Measure: "slow-answers", UsedPercent: 10},
				{Member: "gw-a", Timer: "dead", Measure: "softirq-delay", ValueMs: 12.3, LimitMs: 20, UsedPercent: 61, Thin: true},
			}, Lateness: []control.Lateness{{Name: "pulse", LastMs: 0.11, WorstMs: 27, LimitMs: 20}}},
		WhyV: control.Why{Member: "gw-b", State: "ACTIVE(!)", Why: "it has a problem, and no other member can serve", Facts: []string{"device db is in problem", "lease term 8, fence term 8"},
			Peers: []control.WhyNot{{Member: "gw-a", State: "LOST", Why: "silent on all interfaces for 3m", Facts: []string{"gate: answered 180031.0 ms ago"}},
				{Member: "gw-c", State: "DOWN", Why: "admin down", Facts: []string{"device admin-down: problem, taken down by the operator", "gate: answered 3.2 ms ago",
					"daemon: last HELLO 43 ms ago, version v0.9, protocol 1, another configuration"}}}},
		SyncV: control.Sync{Member: "gw-b", Status: "at risk", Reason: "gw-a is not waited for", Role: "owner", Owner: "gw-b", Current: true, Held: 4,
			Members: []control.SyncMember{
				{ID: 0, Name: "gw-a", Role: "copy", Current: true, Entries: 48_211, Digest: "77aa00112233445f", Connected: true, Evicted: true, Unacked: 1204, LagMs: 2040, HeardMs: 2031},
				{ID: 1, Name: "gw-b", Local: true, Role: "owner", Current: true, Entries: 50_017, Digest: "0011223344556677", Expectations: 2, SetElements: 31, Connected: true},
				{ID: 2, Name: "gw-c", Role: "copy", Entries: 20_480, Digest: "8899aabbccddeeff", Connected: true, HeardMs: 1.2,
					Serving: &control.SyncProgress{Running: true, Full: true, Peer: "gw-c", Stage: "receiving", Buckets: 1024, Done: 20_480, Total: 50_017, Tries: 2, TookMs: 410}},
				{ID: 3, Name: "gw-d", Role: "off", HeardMs: -1},
			},
			Interfaces: syncInterfaces, Services: []string{"tcp/53 never", "udp/53 never", "tcp/80 after 3s"}, Sets: []string{"inet filter blocked"}},
		SyncStatsV: control.SyncStats{Member: "gw-b", Since: before(3 * time.Hour), Status: "at risk", Reason: "gw-a is not waited for", RecordRate: 2100, InjectRate: 0, FlushMs: 1,
			Interfaces: syncInterfaces, Groups: map[string]map[string]uint64{
				"risk":     {"events-lost": 0, "batches-lost": 0, "evictions": 1, "refreshes-dropped": 17, "differences": 0},
				"sent":     {"events": 1_200_300, "records": 900_100, "new": 300_000, "updates": 310_000, "deletes": 290_100, "coalesced": 5_000, "annihilated": 120, "batches": 61_000, "retransmitted": 44},
				"received": {"records": 0, "batches": 0, "duplicates": 0, "gaps": 0, "requested": 0}, "applied": {"created": 0, "updated": 0, "deleted": 0, "absent": 0},
				"reconciled":      {"marks": 0, "dumps": 1, "served": 20_480, "repairs": 0, "full-syncs": 0},
				"queues":          {"records": 3, "records-peak": 4_100, "log-bytes": 1_048_576, "log-bytes-limit": 67_108_864, "inject-bytes": 0, "inject-bytes-peak": 2_048},
				"refused-records": {}, "dropped-frames": {"replay": 2}, "kernel-errors": {}, "skipped-events": {"multicast": 90, "own-address": 411}}},
		SyncVerifyV: control.SyncVerify{Member: "gw-b", Reports: []control.SyncReport{
			{Peer: "gw-a", Local: 50_017, Remote: 48_211, Buckets: 3, OnlyLocal: 2, Different: 1, TookMs: 412,
				Sets:     &control.SyncSetsReport{Equal: true, Local: 12, Remote: 12},
				Examples: []string{"only here: tcp 6 src=10.0.0.5 dst=198.51.100.7 sport=40001 dport=443", "only here: udp 17 src=10.0.0.6 dst=198.51.100.8 sport=5000 dport=53", "different: tcp 6 src=10.0.0.7 dst=198.51.100.7 sport=40002 dport=22"}},
			{Peer: "gw-c", Local: 50_017, Remote: 50_017, TookMs: 390, Sets: &control.SyncSetsReport{Local: 12, Remote: 11, OnlyLocal: 1},
				Examples: []string{"only here: inet filter blocked: 0xc0000209 (192.0.2.9) expires in 59m0s"}},
			{Peer: "gw-d", Error: "it is not connected"}, {Peer: "gw-e", Local: 50_017, Remote: 50_017, TookMs: 390,
				Sets: &control.SyncSetsReport{Error: "the other member does not tell the elements of its sets: it runs an older version"}}}},
		CountersV: control.Counters{Member: "gw-b", Groups: map[string]map[string]uint64{"gate": {"arp-answered": 12, "forged": 0}, "drops": {"replay": 3}}},
		ReloadV: control.ReloadResult{Refused: []control.Change{{Path: "id", From: "7", To: "8", Reason: "all members must change it in the same moment"}},
			Applied: []control.Change{}},
	}
}

// syncInterfaces carry state synchronisation.
var syncInterfaces = []control.SyncInterface{
	{Name: "sync", Up: true, Heard: []string{"gw-a", "gw-c"}, SentBytes: 812_345_678, SentFrames: 610_000, ReceivedBytes: 4_096, ReceivedFrames: 12, SentRate: 310_000,
		ReceivedRate: 900, PeakRate: 12_000_000, SpeedMbit: 1000},
	{Name: "sync2", Error: "no device eth7", Heard: []string{}},
}
