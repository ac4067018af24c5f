// SPDX-License-Identifier: Apache-2.0

package config

// rawMonitor has the keys of all types; which belong to which says monitorKeys.
type rawMonitor struct {
	Line int

	Name     scalar   `yaml:"name"`
	Type     scalar   `yaml:"type"`
	Device   scalar   `yaml:"device"`
	Members  []scalar `yaml:"members"`
	Interval scalar   `yaml:"interval"`
	Timeout  scalar   `yaml:"timeout"`
	Rise     scalar   `yaml:"rise"`
	Fall     scalar   `yaml:"fall"`

	Process    scalar   `yaml:"process"`
	PIDFile    scalar   `yaml:"pidfile"`
	Min        scalar   `yaml:"min"`
	Max        scalar   `yaml:"max"`
	Unit       scalar   `yaml:"unit"`
	Command    scalar   `yaml:"command"`
	User       scalar   `yaml:"user"`
	Address    scalar   `yaml:"address"`
	Send       scalar   `yaml:"send"`
	Expect     scalar   `yaml:"expect"`
	URL        scalar   `yaml:"url"`
	Host       scalar   `yaml:"host"`
	Status     []scalar `yaml:"status"`
	Body       scalar   `yaml:"body"`
	Verify     scalar   `yaml:"verify"`
	CA         scalar   `yaml:"ca"`
	ServerName scalar   `yaml:"server-name"`
	Redirects  scalar   `yaml:"redirects"`
	Targets    []scalar `yaml:"targets"`
	Need       scalar   `yaml:"need"`
	Interface  scalar   `yaml:"interface"`
	Source     scalar   `yaml:"source"`
	NetDev     scalar   `yaml:"netdev"`
	Path       scalar   `yaml:"path"`
	MinFree    scalar   `yaml:"min-free"`
	MinInodes  scalar   `yaml:"min-inodes"`
	ReadOnly   scalar   `yaml:"read-only"`
	WriteTest  scalar   `yaml:"write-test"`
	MinReceive scalar   `yaml:"min-receive"`
	MaxReceive scalar   `yaml:"max-receive"`
	MinSend    scalar   `yaml:"min-send"`
	MaxSend    scalar   `yaml:"max-send"`
	MaxErrors  scalar   `yaml:"max-errors"`
	MaxDrops   scalar   `yaml:"max-drops"`
	Prefix     scalar   `yaml:"prefix"`
	Table      scalar   `yaml:"table"`
	Via        scalar   `yaml:"via"`
	Protocol   scalar   `yaml:"protocol"`
	Absent     scalar   `yaml:"absent"`
	MaxAge     scalar   `yaml:"max-age"`
	Match      scalar   `yaml:"match"`
}

type rawRouting struct {
	Line int

	OnActive  scalar `yaml:"on-active"`
	OnStandby scalar `yaml:"on-standby"`
	Timeout   scalar `yaml:"timeout"`
	User      scalar `yaml:"user"`
}
