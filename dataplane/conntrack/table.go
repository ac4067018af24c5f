// SPDX-License-Identifier: Apache-2.0

package conntrack

import (
	"errors"
	"fmt"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// Table writes and reads the kernel's connection table and its table of expectations. Its methods may be called concurrently; calls
// that write wait for each other.
type Table struct {
	// Displaced, if set before the first Apply, is called with every entry that Apply took out because a record needs its tuple: one
	// with another translation, or one whose reply tuple is the record's. It is called from Apply and must not call the Table.
	Displaced func(Message)

	port  uint32
	space *space

	mu     sync.Mutex
	fd     int
	closed bool
	seq    uint32
	out    []byte    // the batch of requests under way
	lastAt int       // where its last message begins
	limit  int       // maxRequests, but for benchmarks
	sent   []request // what each of them is for
	in     *Batch    // the answers
	work   []work    // the records that are not done
	found  []byte    // entries that works asked for
	spare  []byte
	chain  []int32 // the next record of the same entry, -1 for none
	latest map[entryKey]int32
	lacks  lacking
}

const (
	// sendBuffer holds a whole batch of requests, receiveBuffer an answer to each of them.
	sendBuffer    = 1 << 20
	receiveBuffer = 1 << 20
	// maxRequests and maxBytes bound what goes to the kernel at once. From 64 messages on more of them save nothing
	// (docs/decisions/009-what-conntrack-takes.md), and the kernel works on a batch without a pause.
	maxRequests = 128
	maxBytes    = 96 << 10
)

// Open opens a socket to write the table of the calling thread's network namespace.
func Open() (*Table, error) {
	sp, err := here()
	if err != nil {
		return nil, fmt.Errorf("conntrack: %w", err)
	}
	fd, port, err := dial(receiveBuffer, sendBuffer)
	if err != nil {
		sp.close()
		return nil, fmt.Errorf("conntrack: open table: %w", err)
	}
	t := &Table{port: port, space: sp, fd: fd, in: NewBatch(), limit: maxRequests, latest: make(map[entryKey]int32)}
	// A namespace without the right to it says so now and not in the first batch.
	if _, err := t.Count(); err != nil {
		_ = t.Close()
		return nil, err
	}
	return t, nil
}

// PortID is the port id that events caused by Apply, SetTimeouts and Sweep carry.
func (t *Table) PortID() uint32 { return t.port }

// Close closes the socket; Dumps that are under way end by themselves.
func (t *Table) Close() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return os.ErrClosed
	}
	t.closed = true
	t.space.close()
	return unix.Close(t.fd)
}

// errLostAnswers cannot happen while receiveBuffer holds maxRequests answers.
var errLostAnswers = errors.New("conntrack: the kernel's answers to a batch were lost")
