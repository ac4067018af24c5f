// SPDX-License-Identifier: Apache-2.0

package config

import "time"

// TimerRow is one line of the table of timers.
type TimerRow struct {
	Name    string        // as in the file: "boot-wait"
	Value   time.Duration // in force
	Default time.Duration // of the profile
	Formula string        // how the default comes about: "dead - probe"
	Set     bool          // may be set in the file
	Meaning string
}

// Table lists all timers with their defaults in profile p, in the order in which people should read them. All values are durations;
// the announcements' gaps are one row each.
func (t Timers) Table(p Profile) []TimerRow {
	d := DefaultTimers(p)
	rows := []TimerRow{
		{"probe", t.Probe, d.Probe, "profile", true, "between two probes to a peer, on each interface"},
		{"dead", t.Dead, d.Dead, "3 x probe", true, "silence of a peer that is death: counted from the last answered probe"},
		{"settle", t.Settle, d.Settle, "min(2ms, probe/5)", false, "age of the last unanswered probe before silence is death"},
		{"soft", t.Soft, d.Soft, "dead - probe", false, "age at which an unwatched lease ends"},
		{"watch", t.Watch, d.Watch, "dead - probe/2", false, "age of a peer's \"I hear you\" at which a member is unwatched"},
		{"hard", t.Hard, d.Hard, "fixed", false, "age at which every lease ends"},
		{"courtesy", t.Courtesy, d.Courtesy, "max(100ms, dead)", true, "age of a lease at which a peer asks the kernel to yield it"},
		{"courtesy-max", t.CourtesyMax, d.CourtesyMax, "fixed", false, "bound of courtesy, which doubles with each use within a minute"},
		{"on-time", t.OnTime, d.OnTime, "fixed", false, "own renewals must have been punctual this long to ask for a courtesy"},
		{"word", t.Word, d.Word, "fixed", false, "silence of the daemon at which the pulse stops renewing its lease"},
		{"linger", t.Linger, d.Linger, "fixed default", true, "forwarding goes on this long after a graceful hand-over"},
		{"restarting", t.Restarting, d.Restarting, "fixed default", true, "a restarting daemon is not relieved this long"},
		{"hello", t.Hello, d.Hello, "fixed default", true, "between two state messages"},
		{"boot-wait", t.BootWait, d.BootWait, "fixed default", true, "wait for peers at start"},
		{"boot-listen", t.BootListen, d.BootListen, "fixed", false, "wait at most this long for a first frame on each interface at start"},
		{"hold-down", t.HoldDown, d.HoldDown, "fixed default", true, "health of a better member before highest-priority moves back"},
		{"recovery-delay", t.Recovery, d.Recovery, "off", true, "a member stays READY this long after a start or the end of its last problem"},
		{"stranger", t.Stranger, d.Stranger, "fixed", false, "most that a stranger who answers for a virtual address delays a claim"},
		{"refresh", t.Refresh, d.Refresh, "fixed default", true, "between announcements while nothing changes"},
		{"vmac-refresh", t.VMACRefresh, d.VMACRefresh, "fixed", false, "between frames that keep the VMAC in switches' tables"},
	}
	for i, gap := range t.Announce {
		rows = append(rows, TimerRow{"announce-" + string(rune('1'+i)), gap, d.Announce[i], "fixed", false,
			"gap before a repeated announcement after a hand-over"})
	}
	return rows
}
