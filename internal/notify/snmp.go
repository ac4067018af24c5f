// SPDX-License-Identifier: Apache-2.0

package notify

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/gosnmp/gosnmp"

	"github.com/holdfast-project/holdfast/internal/control"
)

// Object identifiers of deploy/snmp/HOLDFAST-MIB.txt. Holdfast has no enterprise number: it lives in Net-SNMP's playpen, under a number
// of its own (0x4846) so that it meets no other experiment there.
const (
	oidMIB         = ".1.3.6.1.4.1.8072.9999.9999.18502"
	oidObjects     = oidMIB + ".1"
	oidTrapOID     = ".1.3.6.1.6.3.1.1.4.1.0"
	oidSysUpTime   = ".1.3.6.1.2.1.1.3.0"
	maxText        = 255 // of HfText
	informTimeout  = time.Second
	informAttempts = 2
)

// notification is the OID of the notification of an event: one per family of codes, which is its hundreds.
func notification(number uint16) string { return fmt.Sprintf("%s.0.%d", oidMIB, number/100) }

// states are the values of HfState.
var states = map[string]int{"": 0, "INIT": 1, "READY": 2, "STANDBY": 3, "ACTIVE": 4, "ACTIVE(!)": 5, "DOWN": 6, "LOST": 7}

// stateValue is the value of a state; that a member is the pivot is no state of its own.
func stateValue(state string) int {
	return states[strings.NewReplacer("(P)", "", "(!P)", "(!)").Replace(state)]
}

// variables are the bindings of every notification, in the order of the MIB.
func variables(m *message, uptime uint32) []gosnmp.SnmpPDU {
	text := func(s string) any { return []byte(clip(line(s), maxText)) }
	all := []gosnmp.SnmpPDU{
		{Name: oidSysUpTime, Type: gosnmp.TimeTicks, Value: uptime},
		{Name: oidTrapOID, Type: gosnmp.ObjectIdentifier, Value: notification(m.Number)},
	}
	for i, o := range []struct {
		kind  gosnmp.Asn1BER
		value any
	}{
		{gosnmp.OctetString, text(m.cluster)},
		{gosnmp.OctetString, text(m.origin.member)},
		{gosnmp.OctetString, text(m.Member)},
		{gosnmp.Gauge32, uint32(m.Number)},
		{gosnmp.OctetString, text(m.Code)},
		{gosnmp.Integer, int(SeverityOf(m.Severity)) + 1},
		{gosnmp.Integer, stateValue(m.From)},
		{gosnmp.Integer, stateValue(m.To)},
		{gosnmp.OctetString, text(m.Reason)},
		{gosnmp.OctetString, text(m.Peer)},
		{gosnmp.OctetString, text(m.Interface)},
		{gosnmp.OctetString, text(m.Device)},
		{gosnmp.Gauge32, m.Term},
		{gosnmp.Gauge32, uint32(min(m.GapMs*1000, 1<<32-1))},
		{gosnmp.OctetString, dateAndTime(m.Event)},
	} {
		all = append(all, gosnmp.SnmpPDU{Name: fmt.Sprintf("%s.%d.0", oidObjects, i+1), Type: o.kind, Value: o.value})
	}
	return all
}

// dateAndTime is when the event was, in UTC, as DateAndTime of SNMPv2-TC.
func dateAndTime(e control.Event) []byte {
	t := e.Time.UTC()
	return []byte{byte(t.Year() >> 8), byte(t.Year()), byte(t.Month()), byte(t.Day()), byte(t.Hour()), byte(t.Minute()), byte(t.Second()),
		byte(t.Nanosecond() / 100_000_000), '+', 0, 0}
}

// manager sends notifications to one SNMP manager.
type manager struct {
	spec   Spec
	engine *engine
	client *gosnmp.GoSNMP
}

func (s *manager) send(ctx context.Context, m *message) error {
	if s.client == nil {
		if err := s.connect(); err != nil {
			return err
		}
	}
	// The library waits for an answer as long as it pleases: closing ends that.
	c := s.client
	open := c.Conn
	defer context.AfterFunc(ctx, func() { _ = open.Close() })()
	c.Context = ctx
	if usm, ok := c.SecurityParameters.(*gosnmp.UsmSecurityParameters); ok && !s.spec.Manager.Inform {
		// The sender of a trap is the engine that counts. For an inform it is the receiver, which the library asks.
		usm.AuthoritativeEngineBoots, usm.AuthoritativeEngineTime = s.engine.now()
	}
	answer, err := c.SendTrap(gosnmp.SnmpTrap{Variables: variables(m, s.engine.uptime()), IsInform: s.spec.Manager.Inform})
	if err == nil && s.spec.Manager.Inform && answer != nil && answer.PDUType != gosnmp.GetResponse {
		err = fmt.Errorf("it answers with %v instead of an acknowledgement", answer.PDUType)
	}
	if err != nil {
		s.close()
	}
	return err
}

func (s *manager) connect() error {
	host, port, err := net.SplitHostPort(s.spec.Address)
	if err != nil {
		return err
	}
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return err
	}
	m := s.spec.Manager
	c := &gosnmp.GoSNMP{Target: host, Port: uint16(number), Transport: "udp", Timeout: informTimeout, Retries: informAttempts - 1,
		Version: gosnmp.Version2c, Community: m.Community, Context: context.Background()}
	if m.Version == "3" {
		if err := s.secure(c); err != nil {
			return err
		}
	}
	if err := c.Connect(); err != nil {
		return err
	}
	s.client = c
	return nil
}

var authProtocols = map[string]gosnmp.SnmpV3AuthProtocol{"": gosnmp.NoAuth, "SHA": gosnmp.SHA, "SHA-224": gosnmp.SHA224,
	"SHA-256": gosnmp.SHA256, "SHA-384": gosnmp.SHA384, "SHA-512": gosnmp.SHA512}

var privProtocols = map[string]gosnmp.SnmpV3PrivProtocol{"": gosnmp.NoPriv, "AES": gosnmp.AES, "AES-192": gosnmp.AES192, "AES-256": gosnmp.AES256}

func (s *manager) secure(c *gosnmp.GoSNMP) error {
	m := s.spec.Manager
	auth, known := authProtocols[m.Auth]
	priv, alsoKnown := privProtocols[m.Priv]
	if !known || !alsoKnown {
		return errors.New("unknown protocol " + m.Auth + " " + m.Priv)
	}
	usm := &gosnmp.UsmSecurityParameters{UserName: m.User, AuthenticationProtocol: auth, AuthenticationPassphrase: m.AuthPassphrase,
		PrivacyProtocol: priv, PrivacyPassphrase: m.PrivPassphrase}
	c.Version, c.SecurityModel, c.SecurityParameters = gosnmp.Version3, gosnmp.UserSecurityModel, usm
	c.MsgFlags = gosnmp.NoAuthNoPriv
	if m.Auth != "" {
		c.MsgFlags = gosnmp.AuthNoPriv
	}
	if m.Priv != "" {
		c.MsgFlags = gosnmp.AuthPriv
	}
	c.ContextEngineID = s.engine.id
	if !m.Inform {
		usm.AuthoritativeEngineID = s.engine.id
		usm.AuthoritativeEngineBoots, usm.AuthoritativeEngineTime = s.engine.now()
	}
	return nil
}

func (s *manager) close() {
	if s.client != nil {
		_ = s.client.Close()
		s.client = nil
	}
}
