// SPDX-License-Identifier: Apache-2.0

package sdnotify

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"
)

// Notifier sends to one service manager. The zero value has none and discards. Safe for concurrent use.
type Notifier struct {
	socket   string
	watchdog time.Duration
}

// FromEnvironment returns the notifier that the service manager's environment describes, and clears that environment, so that child
// processes do not speak for the daemon.
func FromEnvironment() Notifier {
	n := New(os.Getenv)
	for _, v := range []string{"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"} {
		_ = os.Unsetenv(v)
	}
	return n
}

// New is FromEnvironment with the environment as argument, which it leaves alone.
func New(getenv func(string) string) Notifier {
	n := Notifier{socket: getenv("NOTIFY_SOCKET")}
	if pid := getenv("WATCHDOG_PID"); pid != "" && pid != strconv.Itoa(os.Getpid()) {
		return n
	}
	if us, err := strconv.ParseInt(getenv("WATCHDOG_USEC"), 10, 64); err == nil && us > 0 {
		n.watchdog = time.Duration(us) * time.Microsecond
	}
	return n
}

// Interval is how often Watchdog wants to be called: half of what the service manager allows. 0 means that it watches nothing.
func (n Notifier) Interval() time.Duration { return n.watchdog / 2 }

// Ready says that the daemon serves the cluster, with a line for "systemctl status".
func (n Notifier) Ready(status string) error { return n.send("READY=1", "STATUS="+line(status)) }

// Watchdog says that the daemon's loop is alive.
func (n Notifier) Watchdog() error { return n.send("WATCHDOG=1") }

// Stopping says that the daemon ends on purpose.
func (n Notifier) Stopping() error { return n.send("STOPPING=1") }

func (n Notifier) send(lines ...string) error {
	if n.socket == "" {
		return nil
	}
	// A leading @ is the abstract namespace, which net's unix addresses spell the same way.
	c, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: n.socket, Net: "unixgram"})
	if err != nil {
		return fmt.Errorf("notify %s: %w", n.socket, err)
	}
	defer func() { _ = c.Close() }()
	// systemd may be busy, and the loop that calls this must not be.
	if err := c.SetWriteDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
		return fmt.Errorf("notify %s: %w", n.socket, err)
	}
	if _, err := c.Write([]byte(strings.Join(lines, "\n"))); err != nil {
		return fmt.Errorf("notify %s: %w", n.socket, err)
	}
	return nil
}

// line keeps a status on one line: a second one would be a command to the service manager.
func line(s string) string { return strings.NewReplacer("\n", " ", "\r", " ").Replace(s) }
