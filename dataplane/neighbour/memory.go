// SPDX-License-Identifier: Apache-2.0

package neighbour

import (
	"maps"
	"sync"
	"time"
)

// memory keeps what was learned for a while, errors too. Before Linux 6.9 a list of neighbours waits for a lock (RTNL) that some driver may
// hold for seconds, whatever the time-out of the socket: so the kernel is asked beside the caller, which may be the member's loop.
type memory struct {
	list     func(index int) (ask func() ([]Learned, error), err error)
	now      func() time.Time
	patience time.Duration

	mu    sync.Mutex
	known map[int]*lesson
}

// lesson is the last answer of the kernel; its list is never changed.
type lesson struct {
	at     time.Time // when it was asked
	list   []Learned
	err    error
	asking bool // it is being asked anew
}

func newMemory() *memory {
	return &memory{list: listLearned, now: time.Now, patience: answerWithin, known: make(map[int]*lesson)}
}

func (m *memory) get(index int) ([]Learned, error) {
	if answered := m.ask(index); answered != nil {
		patience := time.NewTimer(m.patience)
		defer patience.Stop()
		select {
		case <-answered:
		case <-patience.C:
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if l := m.known[index]; l != nil {
		return l.list, l.err
	}
	return nil, nil
}

// ask has the kernel asked, unless it was lately, or has not answered the last question; the channel is closed with its answer.
func (m *memory) ask(index int) <-chan struct{} {
	m.mu.Lock()
	defer m.mu.Unlock()
	now, l := m.now(), m.known[index]
	if l != nil && (l.asking || now.Sub(l.at) < remembered) {
		return nil
	}
	maps.DeleteFunc(m.known, func(i int, other *lesson) bool { // interfaces come and go
		return i != index && !other.asking && now.Sub(other.at) >= remembered
	})
	if l == nil {
		l = &lesson{}
		m.known[index] = l
	}
	ask, err := m.list(index)
	if err != nil {
		l.at, l.list, l.err = now, nil, err
		return nil
	}
	l.asking = true
	answered := make(chan struct{})
	go func() { // ends when the kernel answers
		defer close(answered)
		list, err := ask()
		m.mu.Lock()
		defer m.mu.Unlock()
		l.at, l.list, l.err, l.asking = now, list, err, false
	}()
	return answered
}

// forget makes the next get ask the kernel; an answer that is on its way goes nowhere.
func (m *memory) forget(index int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.known, index)
}
