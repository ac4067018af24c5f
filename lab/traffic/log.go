// SPDX-License-Identifier: Apache-2.0

package traffic

import (
	"sync"
	"sync/atomic"
)

// chunkLen is the number of entries per chunk of a log: 8 s of one flow at 1000/s.
const chunkLen = 8192

// entry is one send or one arrival.
type entry struct {
	seq uint64
	// at is ns since the start of the run.
	at int64
	// late is how long after its deadline a packet was sent, in ns; unused in a log of arrivals.
	late int64
}

// log is an append-only list with one writer and any number of readers. The writer never waits for a reader: it appends to a
// chunk and publishes the new length; only a new chunk, once in chunkLen appends, takes the lock, which readers hold for the
// copying of a few pointers. So a judgement of a running flow does not make its sender late.
type log struct {
	n      atomic.Int64
	mu     sync.Mutex
	chunks []*[chunkLen]entry
	last   *[chunkLen]entry // the writer's own
}

func (l *log) append(e entry) {
	i := l.n.Load()
	if i%chunkLen == 0 {
		l.last = new([chunkLen]entry)
		l.mu.Lock()
		l.chunks = append(l.chunks, l.last)
		l.mu.Unlock()
	}
	l.last[i%chunkLen] = e
	l.n.Store(i + 1)
}

// view is a log as it was at one moment.
type view struct {
	n      int
	chunks []*[chunkLen]entry
}

func (l *log) view() view {
	// The length first: the chunks that hold this many entries are then surely in the list.
	n := int(l.n.Load())
	l.mu.Lock()
	defer l.mu.Unlock()
	return view{n: n, chunks: append([]*[chunkLen]entry(nil), l.chunks...)}
}

func (v view) at(i int) entry { return v.chunks[i/chunkLen][i%chunkLen] }
