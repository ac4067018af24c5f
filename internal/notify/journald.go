// SPDX-License-Identifier: Apache-2.0

package notify

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// JournalSocket is where the journal listens on a host with systemd.
const JournalSocket = "/run/systemd/journal/socket"

// HasJournal reports whether the journal listens here.
func HasJournal() bool {
	info, err := os.Stat(JournalSocket)
	return err == nil && info.Mode()&os.ModeSocket != 0
}

// messageID is the journal's MESSAGE_ID of a code: one prefix of Holdfast's, and the number of the code.
func messageID(number uint16) string { return fmt.Sprintf("8d3f5a1c6b7e4c2f9a0b4846%08x", number) }

// journal writes to the journal (https://systemd.io/JOURNAL_NATIVE_PROTOCOL).
type journal struct {
	conn
	facility int
}

func (j *journal) send(ctx context.Context, m *message) error { return j.write(ctx, j.encode(m)) }

func (j *journal) encode(m *message) []byte {
	var b bytes.Buffer
	field := func(name, value string) {
		if !strings.ContainsRune(value, '\n') {
			b.WriteString(name + "=" + value + "\n")
			return
		}
		b.WriteString(name + "\n")
		_ = binary.Write(&b, binary.LittleEndian, uint64(len(value))) // never fails on a Buffer
		b.WriteString(value + "\n")
	}
	field("MESSAGE", m.text())
	field("MESSAGE_ID", messageID(m.Number))
	field("PRIORITY", strconv.Itoa(SeverityOf(m.Severity).priority()))
	field("SYSLOG_IDENTIFIER", "holdfastd")
	field("SYSLOG_FACILITY", strconv.Itoa(j.facility))
	for _, p := range m.fields() {
		field("HOLDFAST_"+strings.ToUpper(p.name), p.value)
	}
	if m.Reason != "" {
		field("HOLDFAST_REASON", m.Reason)
	}
	return b.Bytes()
}
