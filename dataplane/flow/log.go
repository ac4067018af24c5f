// SPDX-License-Identifier: Apache-2.0

package flow

// batch is one batch that somebody has yet to acknowledge.
type batch struct {
	payload []byte
	items   int
	cut     int64 // when it was made
}

// spareBuffers is how many payloads of acknowledged batches are kept for the next ones.
const spareBuffers = 1024

// log holds the batches base..next-1. It grows as it must and shrinks when it is empty; payloads are used again.
type log struct {
	ring       []batch // by sequence modulo its length, a power of two
	base, next uint64
	bytes      int
	free       [][]byte
	payload    int // capacity of a new buffer
}

func newLog(payload int) log {
	return log{ring: make([]batch, 64), base: 1, next: 1, payload: payload}
}

func (l *log) at(seq uint64) *batch { return &l.ring[seq&uint64(len(l.ring)-1)] }

func (l *log) len() int { return int(l.next - l.base) }

// buffer returns an empty payload to fill and append.
func (l *log) buffer() []byte {
	if n := len(l.free); n > 0 {
		b := l.free[n-1]
		l.free = l.free[:n-1]
		return b[:0]
	}
	return make([]byte, 0, l.payload)
}

func (l *log) append(b batch) {
	if l.len() == len(l.ring) {
		l.resize(2 * len(l.ring))
	}
	*l.at(l.next) = b
	l.next++
	l.bytes += len(b.payload)
}

func (l *log) resize(n int) {
	old := *l
	l.ring = make([]batch, n)
	for seq := l.base; seq < l.next; seq++ {
		*l.at(seq) = *old.at(seq)
	}
}

// trim forgets everything below seq.
func (l *log) trim(seq uint64) {
	for ; l.base < seq; l.base++ {
		b := l.at(l.base)
		l.bytes -= len(b.payload)
		if len(l.free) < spareBuffers {
			l.free = append(l.free, b.payload)
		}
		*b = batch{}
	}
	if l.base == l.next && len(l.ring) > 4*spareBuffers {
		l.resize(64)
	}
}

// burn uses up a sequence for nothing. The log is empty.
func (l *log) burn() {
	l.base++
	l.next++
}
