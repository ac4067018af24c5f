// SPDX-License-Identifier: Apache-2.0

package pulse

import (
	"crypto/rand"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast-project/holdfast/bpf"
)

// configureWait is how long the child waits for each of its first messages.
const configureWait = 10 * time.Second

// Main is the pulse process: cmd/holdfastd calls it when its first argument is "pulse", and exits with what it returns. It
// returns 0 when main has gone, 1 when it could not begin (main is told why), and 2 when it was not started by holdfastd.
func Main() int {
	// The thread that is raised is the thread that works, for good.
	runtime.LockOSThread()
	if kind, err := unix.GetsockoptInt(controlFD, unix.SOL_SOCKET, unix.SO_TYPE); err != nil || kind != unix.SOCK_SEQPACKET {
		fmt.Fprintln(os.Stderr, "pulse: this is a part of holdfastd that holdfastd starts by itself: there is no socket to it here")
		return 2
	}
	// A stop that is sent to the whole process group is main's to carry out: leases and YIELDs are needed until it is done.
	signal.Ignore(unix.SIGINT, unix.SIGTERM, unix.SIGHUP)
	l, err := begin()
	if err != nil {
		_ = send(controlFD, appendText([]byte{byte(msgFailed)}, err.Error()))
		return 1
	}
	l.run()
	return 0
}

// begin reads the configuration, opens what it names and tames the process.
func begin() (*loop, error) {
	l, err := newLoop()
	if err != nil {
		return nil, err
	}
	c, err := l.firstMessages()
	if err != nil {
		return nil, err
	}
	w, err := bpf.OpenWords(c.PinDir)
	if err != nil {
		return nil, err
	}
	var seed [32]byte
	rand.Read(seed[:])
	l.engine = newEngine(l, w, seed)
	if l.spoken, err = listenTo(wordFD); err != nil {
		return nil, err
	}
	for _, fd := range []int32{controlFD, parentFD} {
		if errno := l.watch(l.set, fd); errno != 0 {
			return nil, fmt.Errorf("watch what the daemon says: %w", errno)
		}
	}
	notices := tame(c.Priority, bytesOf(l), bytesOf(l.engine))
	if errno := send(controlFD, []byte{byte(msgReady)}); errno != 0 {
		return nil, fmt.Errorf("say to the daemon that the pulse is ready: %w", errno)
	}
	l.engine.stats.Locked, l.engine.stats.Realtime = true, true
	for _, n := range notices {
		l.engine.say(appendNotice(l.engine.message[:0], &n))
		l.engine.stats.Locked = l.engine.stats.Locked && n.Code != NoticeMemory
		l.engine.stats.Realtime = l.engine.stats.Realtime && n.Code != NoticeRealtime
	}
	l.reconfigure(c)
	return l, nil
}

// firstMessages waits for main's build, which has to be this one's, and the configuration.
func (l *loop) firstMessages() (*Config, error) {
	b, err := l.message()
	if err != nil {
		return nil, err
	}
	// Nothing but this is known of a message that another build has sent.
	if err := decodeCommand(b, &l.command); err != nil || l.command.kind != msgBuild {
		l.command.text = ""
	}
	if err := checkBuild(l.command.text); err != nil {
		return nil, err
	}
	if b, err = l.message(); err != nil {
		return nil, err
	}
	if err := decodeCommand(b, &l.command); err != nil {
		return nil, err
	}
	if l.command.kind != msgConfigure {
		return nil, fmt.Errorf("%w: the second is of type %d, want the configuration", errMessage, l.command.kind)
	}
	return l.command.config, l.command.config.Validate()
}

// message waits for a message.
func (l *loop) message() ([]byte, error) {
	l.waitFor(controlFD, int64(configureWait))
	n, errno := recv(controlFD, l.in[:])
	if errno != 0 {
		return nil, fmt.Errorf("read the configuration from the daemon: %w", errno)
	}
	return l.in[:n], nil
}
