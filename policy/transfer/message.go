// SPDX-License-Identifier: Apache-2.0

package transfer

import (
	"errors"
	"time"

	"github.com/holdfast-project/holdfast/policy"
)

// Why a source was given up. Compare with errors.Is.
var (
	// ErrNone: it has no such policy.
	ErrNone = errors.New("has no such policy")
	// ErrSilent: nothing new came for too long.
	ErrSilent = errors.New("does not answer")
	// ErrSlow: it sends, but hardly anything.
	ErrSlow = errors.New("is too slow")
	// ErrForged: what it sent is not what was offered, or not signed by management. The error wraps what package policy says as well.
	ErrForged = errors.New("sent a forgery")
	// ErrGone: it is not heard any more.
	ErrGone = errors.New("is not heard any more")
)

// Head is the What of a policy's head; piece i is What i+1.
const Head = 0

// Bounds of one Send: what it asks for fits into one frame of CCP.
const (
	// MaxWants is how many heads and pieces one Send asks for at most.
	MaxWants = 8
	// MaxRanges is how many ranges of one of them.
	MaxRanges = 8
)

// Want asks for bytes of a policy's head or of one of its pieces, as Sealed.Piece has it.
type Want struct {
	Digest policy.Digest
	What   int
	Ranges []Range
}

// Range is some bytes.
type Range struct{ Offset, Length int }

// Data is bytes of a policy's head or of one of its pieces.
type Data struct {
	Digest policy.Digest
	What   int
	Total  int // length of the whole head or piece
	Offset int
	Bytes  []byte
}

// Config says how to ask and to answer. Zero values are the defaults.
type Config struct {
	// Frame is how many bytes of a policy one frame has: the same at all members. Default 1230, which is CCP's.
	Frame int
	// Window is how many frames may be under way to an Asker: default 64.
	Window int
	// Retry is the time-out of a unit before any round trip was measured, MinRetry the shortest: default 100 ms, 20 ms.
	Retry, MinRetry time.Duration
	// Patience is how long nothing new may come from a source: default 2 s. MinRate is how many bytes a second must come from it, after that
	// time: default 16 KiB.
	Patience time.Duration
	MinRate  int
	// Rate is how many bytes a second an Answerer sends to one asker, Burst how many at once: default 8 MiB, 256 KiB.
	Rate, Burst int
}

func (c Config) filled() Config {
	for _, f := range []struct {
		to   *int
		want int
	}{
		{&c.Frame, 1230}, {&c.Window, 64}, {&c.MinRate, 16 << 10}, {&c.Rate, 8 << 20}, {&c.Burst, 256 << 10},
	} {
		if *f.to <= 0 {
			*f.to = f.want
		}
	}
	for _, f := range []struct {
		to   *time.Duration
		want time.Duration
	}{
		{&c.Retry, 100 * time.Millisecond}, {&c.MinRetry, 20 * time.Millisecond}, {&c.Patience, 2 * time.Second},
	} {
		if *f.to <= 0 {
			*f.to = f.want
		}
	}
	return c
}

// Event is what happens to an Asker. The set of events is closed.
type Event interface{ event() }

type (
	// Begin asks a source, in place of the one before.
	Begin struct{ Source string }
	// Got says that a Data came. Its bytes are copied.
	Got struct {
		From string
		Data Data
	}
	// Lacks says that a member has no policy with this digest.
	Lacks struct {
		From   string
		Digest policy.Digest
	}
	// Gone says that a member is not heard any more.
	Gone struct{ From string }
	// Tick says that the time that WakeAt named has come.
	Tick struct{}
)

func (Begin) event() {}
func (Got) event()   {}
func (Lacks) event() {}
func (Gone) event()  {}
func (Tick) event()  {}

// Effect is what an Asker wants to be done, in order. The set of effects is closed.
type Effect interface{ effect() }

type (
	// Send the wants in one frame.
	Send struct {
		To    string
		Wants []Want
	}
	// Done ends it: the policy is whole and verified.
	Done struct{ Policy *policy.Sealed }
	// Failed gives the source up; Begin asks another one, or the same again. The error wraps one of this package, or what package policy says
	// of a policy that is genuine and cannot be read.
	Failed struct {
		From string
		Err  error
	}
	// WakeAt asks for a Tick at a time, in place of an earlier one.
	WakeAt struct{ Time int64 }
)

func (Send) effect()   {}
func (Done) effect()   {}
func (Failed) effect() {}
func (WakeAt) effect() {}
