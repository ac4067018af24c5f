// SPDX-License-Identifier: Apache-2.0

package node

import (
	"os"
	"slices"

	"github.com/holdfast-project/holdfast/internal/config"
	"github.com/holdfast-project/holdfast/internal/control"
	"github.com/holdfast-project/holdfast/internal/notify"
	"github.com/holdfast-project/holdfast/members"
)

// facilityDaemon is syslog's.
const facilityDaemon = 3

// receivers are those that a configuration names.
func receivers(c config.Notify) ([]notify.Spec, error) {
	severity := func(s config.Severity) notify.Severity { return notify.SeverityOf(string(s)) }
	var all []notify.Spec
	if j := c.Journald; j.Use == config.JournaldOn || j.Use == config.JournaldAuto && notify.HasJournal() {
		all = append(all, notify.Spec{Name: "journald", Kind: notify.Journald, Severity: severity(j.Severity), Network: "unixgram",
			Address: notify.JournalSocket, Facility: facilityDaemon})
	}
	for _, s := range c.Syslog {
		all = append(all, notify.Spec{Name: "syslog " + s.URL(), Kind: notify.Syslog, Severity: severity(s.Severity), Network: s.Network,
			Address: s.Address, Facility: s.Facility})
	}
	if c.SNMP == nil {
		return all, nil
	}
	s := c.SNMP
	secrets, err := s.LoadSecrets()
	if err != nil {
		return nil, err
	}
	for _, t := range s.Targets {
		all = append(all, notify.Spec{Name: "snmp " + t, Kind: notify.SNMP, Severity: severity(s.Severity), Network: "udp", Address: t,
			Manager: notify.Manager{Version: s.Version, Inform: s.Inform, Community: secrets.Community, User: s.User, Auth: s.Auth,
				AuthPassphrase: secrets.AuthPassphrase, Priv: s.Priv, PrivPassphrase: secrets.PrivPassphrase}})
	}
	return all, nil
}

// openNotify prepares the receivers of the configuration; they are told once the tasks run.
func (n *node) openNotify() error {
	n.notify = notify.New(notify.Options{Cluster: n.cfg.Name, Member: n.local.Self.Name, Dir: n.local.StateDir, Log: n.log})
	specs, err := receivers(n.cfg.Notify)
	if err != nil {
		return err
	}
	n.told = specs
	n.notify.Configure(specs)
	return nil
}

// reconfigureNotify replaces the receivers, and adds to the changes of a reload what the file itself does not show.
func (n *node) reconfigureNotify(specs []notify.Spec, applied []control.Change) []control.Change {
	shown := slices.ContainsFunc(applied, func(c control.Change) bool { return c.Path == "notify.snmp" })
	secret := func(s notify.Spec) notify.Manager { return s.Manager }
	same := slices.EqualFunc(n.told, specs, func(a, b notify.Spec) bool { return a.Name != b.Name || secret(a) == secret(b) })
	if !shown && !same && len(n.told) == len(specs) {
		applied = append(applied, control.Change{Path: "notify.snmp.secrets-file", From: "other secrets", To: "new secrets"})
	}
	n.notify.Configure(specs)
	for _, was := range n.told {
		if !slices.ContainsFunc(specs, func(s notify.Spec) bool { return s.Name == was.Name }) {
			n.metrics.ForgetNotifications(was.Name)
		}
	}
	n.told = specs
	return applied
}

// sinkReport tells that a receiver fails, or is well again. It need not hear that itself.
func (n *node) sinkReport(r notify.Report) {
	code := members.CodeSinkWell
	if r.Failed {
		code = members.CodeSinkFailed
	}
	n.sayBut(code, r.Reason, r.Sink)
}

// journaled reports whether the log goes to the journal, where this event is already, with its fields.
func (n *node) journaled() bool { return os.Getenv("JOURNAL_STREAM") != "" && n.notify.Journaled() }

// publishNotify brings the receivers' metrics up to date.
func (n *node) publishNotify() {
	for _, c := range n.notify.Counters() {
		n.metrics.SetNotifications(c.Sink, c.Sent, c.Dropped, c.Failed)
	}
}

// notifyCounters are the receivers' counters for holdfast counters.
func (n *node) notifyCounters() map[string]uint64 {
	all := map[string]uint64{}
	for _, c := range n.notify.Counters() {
		all[c.Sink+" sent"], all[c.Sink+" dropped"], all[c.Sink+" failed"] = c.Sent, c.Dropped, c.Failed
	}
	return all
}
