// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"slices"
	"strings"
	"sync"
)

// maxPending is how many keys a slow reader's changes may name before they say Lost instead.
const maxPending = 1024

// mailbox merges changes until somebody takes them.
type mailbox struct {
	mu      sync.Mutex
	pending map[string]bool
	lost    bool
	wake    chan struct{} // holds one token while there is something
}

func newMailbox() *mailbox {
	return &mailbox{pending: map[string]bool{}, wake: make(chan struct{}, 1)}
}

func (m *mailbox) add(lost bool, keys ...string) {
	if len(keys) == 0 && !lost {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, k := range keys {
		m.pending[k] = true
	}
	if lost || len(m.pending) > maxPending {
		m.lost = true
		clear(m.pending)
	}
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

func (m *mailbox) take() (c Changes, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for k := range m.pending {
		c.Keys = append(c.Keys, k)
	}
	slices.Sort(c.Keys)
	c.Lost = m.lost
	m.lost = false
	clear(m.pending)
	return c, c.Lost || len(c.Keys) > 0
}

// deliver sends what comes until ctx ends or stop is closed, then closes out.
func (m *mailbox) deliver(ctx context.Context, stop <-chan struct{}, out chan<- Changes) {
	defer close(out)
	for {
		select {
		case <-ctx.Done():
			return
		case <-stop:
			return
		case <-m.wake:
		}
		c, ok := m.take()
		if !ok {
			continue
		}
		select {
		case out <- c:
		case <-ctx.Done():
			return
		case <-stop:
			return
		}
	}
}

// hub tells the watchers of one process.
type hub struct {
	mu       sync.Mutex
	watchers map[*mailbox]string // its prefix
}

func (h *hub) add(prefix string) *mailbox {
	m := newMailbox()
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.watchers == nil {
		h.watchers = map[*mailbox]string{}
	}
	h.watchers[m] = prefix
	return m
}

func (h *hub) remove(m *mailbox) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.watchers, m)
}

func (h *hub) tell(keys ...string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for m, prefix := range h.watchers {
		var mine []string
		for _, k := range keys {
			if told(prefix, k) {
				mine = append(mine, k)
			}
		}
		m.add(false, mine...)
	}
}

// told reports whether a watcher of prefix is told of key: of the store's own ones leases only, and those only who asks for them.
func told(prefix, key string) bool {
	if strings.HasPrefix(key, "!") && (!strings.HasPrefix(key, leases) || !strings.HasPrefix(prefix, "!")) {
		return false
	}
	return strings.HasPrefix(key, prefix)
}
