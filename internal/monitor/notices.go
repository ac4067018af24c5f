// SPDX-License-Identifier: Apache-2.0

package monitor

import (
	"errors"
	"log/slog"
	"net"
	"os"
	"sync"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// notices is a netlink socket that hears what changes in the kernel, open while somebody listens.
type notices struct {
	log    *slog.Logger
	family int
	groups []uint32
	tasks  *sync.WaitGroup

	mu   sync.Mutex
	conn *netlink.Conn
	ears map[*ear]bool
}

// ear is one who listens.
type ear struct {
	news chan struct{}
	// wants reports whether a message matters.
	wants func(netlink.Message) bool
}

func newEar(wants func(netlink.Message) bool) *ear {
	return &ear{news: make(chan struct{}, 1), wants: wants}
}

// listen makes sure that e hears what happens from now on. If it cannot, checks come at their interval only.
func (n *notices) listen(e *ear) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.ears == nil {
		n.ears = map[*ear]bool{}
	}
	n.ears[e] = true
	if n.conn != nil {
		return
	}
	c, err := netlink.Dial(n.family, nil)
	if err != nil {
		n.log.Warn("listen to the kernel's changes", "family", n.family, "error", err)
		return
	}
	for _, g := range n.groups {
		if err := c.JoinGroup(g); err != nil {
			n.log.Debug("listen to the kernel's changes", "family", n.family, "group", g, "error", err)
		}
	}
	n.conn = c
	n.tasks.Go(func() { n.read(c) })
}

// leave ends listening; the last one closes the socket.
func (n *notices) leave(e *ear) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.ears, e)
	if len(n.ears) == 0 && n.conn != nil {
		_ = n.conn.Close()
		n.conn = nil
	}
}

// read passes on what comes until the socket is closed or breaks; the next check then opens another one.
func (n *notices) read(c *netlink.Conn) {
	for {
		messages, err := c.Receive()
		switch {
		case errors.Is(err, unix.ENOBUFS): // too much at once: anything may have changed
			n.tell(nil)
		case errors.Is(err, net.ErrClosed) || errors.Is(err, os.ErrClosed):
			return
		case err != nil:
			n.mu.Lock()
			if n.conn != c { // closed meanwhile, which is the error
				n.mu.Unlock()
				return
			}
			n.conn = nil
			n.mu.Unlock()
			_ = c.Close()
			n.log.Warn("listen to the kernel's changes", "family", n.family, "error", err)
			n.tell(nil)
			return
		default:
			n.tell(messages)
		}
	}
}

// tell wakes those to whom one of the messages matters; nil matters to all.
func (n *notices) tell(messages []netlink.Message) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for e := range n.ears {
		matters := messages == nil
		for _, m := range messages {
			if matters = matters || e.wants(m); matters {
				break
			}
		}
		if matters {
			select {
			case e.news <- struct{}{}:
			default:
			}
		}
	}
}
