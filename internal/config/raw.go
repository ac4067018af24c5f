// SPDX-License-Identifier: Apache-2.0

package config

// The raw structs are the grammar of cluster.yaml: which keys exist where. Values are text with the place they come from; what they
// mean is decided in the build files. A key that is not here is refused.

type rawFile struct {
	Line int

	ID         scalar         `yaml:"id"`
	Name       scalar         `yaml:"name"`
	Mode       scalar         `yaml:"mode"`
	Recovery   scalar         `yaml:"recovery"`
	KeyFile    scalar         `yaml:"key-file"`
	Profile    scalar         `yaml:"profile"`
	Timers     rawTimers      `yaml:"timers"`
	Flap       rawFlap        `yaml:"flap"`
	Devices    rawDevices     `yaml:"devices"`
	VMAC       scalar         `yaml:"vmac"`
	Attach     scalar         `yaml:"attach"`
	OwnTraffic scalar         `yaml:"own-traffic"`
	CCP        rawCCP         `yaml:"ccp"`
	Members    []rawMember    `yaml:"members"`
	Interfaces []rawInterface `yaml:"interfaces"`
	Trunks     []rawTrunk     `yaml:"trunks"`
	Groups     []rawGroup     `yaml:"groups"`
	Monitors   []rawMonitor   `yaml:"monitors"`
	Routing    rawRouting     `yaml:"routing"`
	Sync       rawSync        `yaml:"sync"`

	LoadSharing rawLoadSharing `yaml:"load-sharing"`
	Policy      rawPolicy      `yaml:"policy"`

	Notify   rawNotify  `yaml:"notify"`
	Metrics  rawMetrics `yaml:"metrics"`
	Control  rawControl `yaml:"control"`
	StateDir scalar     `yaml:"state-dir"`
	PinDir   scalar     `yaml:"pin-dir"`
	LogLevel scalar     `yaml:"log-level"`
}

type rawTimers struct {
	Line int

	Probe         scalar `yaml:"probe"`
	Dead          scalar `yaml:"dead"`
	Linger        scalar `yaml:"linger"`
	Courtesy      scalar `yaml:"courtesy"`
	Hello         scalar `yaml:"hello"`
	BootWait      scalar `yaml:"boot-wait"`
	HoldDown      scalar `yaml:"hold-down"`
	RecoveryDelay scalar `yaml:"recovery-delay"`
	Restarting    scalar `yaml:"restarting"`
	Refresh       scalar `yaml:"refresh"`
}

type rawFlap struct {
	Line int

	Budget scalar `yaml:"budget"`
	Window scalar `yaml:"window"`
}

type rawDevices struct {
	Line int

	Weights map[string]scalar `yaml:"weights"`
}

type rawCCP struct {
	Line int

	EtherType scalar `yaml:"ethertype"`
	Transport scalar `yaml:"transport"`
	Priority  scalar `yaml:"priority"`
}

type rawNotify struct {
	Line int

	Journald rawJournald `yaml:"journald"`
	Syslog   []rawSyslog `yaml:"syslog"` // one may be written without a list
	SNMP     rawSNMP     `yaml:"snmp"`
}

// rawJournald is auto, true or false, or a mapping with a severity.
type rawJournald struct {
	Line int

	Use      scalar `yaml:"use,short"`
	Severity scalar `yaml:"severity"`
}

type rawSyslog struct {
	Line int

	Address  scalar `yaml:"address"`
	Facility scalar `yaml:"facility"`
	Severity scalar `yaml:"severity"`
}

type rawSNMP struct {
	Line int

	Version     scalar   `yaml:"version"`
	Targets     []scalar `yaml:"targets"`
	Inform      scalar   `yaml:"inform"`
	Community   scalar   `yaml:"community"`
	User        scalar   `yaml:"user"`
	Auth        scalar   `yaml:"auth"`
	Priv        scalar   `yaml:"priv"`
	SecretsFile scalar   `yaml:"secrets-file"`
	Severity    scalar   `yaml:"severity"`
}

type rawSync struct {
	Line int

	Enabled      scalar            `yaml:"enabled"`
	Services     map[string]scalar `yaml:"services"`
	Sets         []scalar          `yaml:"sets"`
	Zones        []scalar          `yaml:"zones"`
	TCPLoose     scalar            `yaml:"tcp-loose"`
	FullSyncRate scalar            `yaml:"full-sync-rate"`
	Buffer       scalar            `yaml:"buffer"`
}

type rawLoadSharing struct {
	Line int

	Method       scalar            `yaml:"method"`
	Key          scalar            `yaml:"key"`
	Weights      map[string]scalar `yaml:"weights"`
	SNATPorts    scalar            `yaml:"snat-ports"`
	Published    []scalar          `yaml:"published"`
	Adaptive     scalar            `yaml:"adaptive"`
	Interval     scalar            `yaml:"adaptive-interval"`
	BlockNew     scalar            `yaml:"block-new-at-risk"`
	MulticastMAC scalar            `yaml:"multicast-mac"`
}

type rawPolicy struct {
	Line int

	Keys       scalar   `yaml:"keys"`
	Management []scalar `yaml:"management"`
	Enforce    scalar   `yaml:"enforce"`
	SSHFrom    []scalar `yaml:"ssh-from"`
}

type rawMetrics struct {
	Line int

	Listen scalar `yaml:"listen"`
}

type rawControl struct {
	Line int

	Socket scalar `yaml:"socket"`
}

type rawMember struct {
	Line int

	ID         scalar                        `yaml:"id"`
	Name       scalar                        `yaml:"name"`
	Metrics    rawMetrics                    `yaml:"metrics"`
	Interfaces map[string]rawMemberInterface `yaml:"interfaces"`
}

type rawMemberInterface struct {
	Line int

	Device    scalar   `yaml:"device"`
	Addresses []scalar `yaml:"addresses"`
	MAC       scalar   `yaml:"mac"`
}

type rawInterface struct {
	Line int

	Name        scalar       `yaml:"name"`
	Description scalar       `yaml:"description"`
	Role        scalar       `yaml:"role"`
	Monitored   scalar       `yaml:"monitored"`
	Trunk       scalar       `yaml:"trunk"`
	VLAN        scalar       `yaml:"vlan"`
	Bond        rawBond      `yaml:"bond"`
	VIPs        []rawVIP     `yaml:"vips"`
	ProxyARP    []scalar     `yaml:"proxy-arp"`
	VMAC        scalar       `yaml:"vmac"`
	LinkLocal   scalar       `yaml:"link-local"`
	Neighbours  []scalar     `yaml:"neighbours"`
	RouterAdv   rawRouterAdv `yaml:"router-advert"`
}

type rawBond struct {
	Line int

	MinLinks scalar `yaml:"min-links"`
}

type rawTrunk struct {
	Line int

	Name    scalar          `yaml:"name"`
	Monitor rawTrunkMonitor `yaml:"monitor"`
}

// rawTrunkMonitor is a word or a list of interface names.
type rawTrunkMonitor struct {
	Word scalar
	List []scalar
}

type rawGroup struct {
	Line int

	Name       scalar   `yaml:"name"`
	Interfaces []scalar `yaml:"interfaces"`
	MinUp      scalar   `yaml:"min-up"`
}

// rawVIP is an address, or a mapping with its prefix.
type rawVIP struct {
	Line int

	Address scalar `yaml:"address,short"`
	Prefix  scalar `yaml:"prefix"`
}

type rawRouterAdv struct {
	Line int

	Interval    scalar        `yaml:"interval"`
	Lifetime    scalar        `yaml:"lifetime"`
	Preference  scalar        `yaml:"preference"`
	Managed     scalar        `yaml:"managed"`
	OtherConfig scalar        `yaml:"other-config"`
	MTU         scalar        `yaml:"mtu"`
	HopLimit    scalar        `yaml:"hop-limit"`
	Prefixes    []rawRAPrefix `yaml:"prefixes"`
	DNS         []scalar      `yaml:"dns"`
	Search      []scalar      `yaml:"search"`
	DNSLifetime scalar        `yaml:"dns-lifetime"`
}

// rawRAPrefix is a prefix, or a mapping with its lifetimes.
type rawRAPrefix struct {
	Line int

	Prefix     scalar `yaml:"prefix,short"`
	Valid      scalar `yaml:"valid"`
	Preferred  scalar `yaml:"preferred"`
	OnLink     scalar `yaml:"on-link"`
	Autonomous scalar `yaml:"autonomous"`
}
