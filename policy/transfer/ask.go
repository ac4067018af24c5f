// SPDX-License-Identifier: Apache-2.0

package transfer

import (
	"errors"
	"fmt"

	"github.com/holdfast-project/holdfast/policy"
)

// Asker fetches one policy. Not safe for concurrent use.
type Asker struct {
	cfg   Config
	trust policy.Trust
	what  policy.Offer

	head  *policy.Head      // verified
	parts *policy.Assembler // once head is there
	done  bool

	source string // "" while none is asked
	began  int64
	news   int64 // when something new came
	bytes  int64 // that came from the source
	items  []*item
	guess  int // length of a piece as it travels, as the last one was

	window, slow float64 // units; slow is where growth gets slow
	srtt, rttvar int64
	shrunk       int64 // when the window was halved last
	now          int64
	out          []Effect
}

// NewAsker fetches what, once Begin names a source. trust is what the head must satisfy.
func NewAsker(cfg Config, trust policy.Trust, what policy.Offer) *Asker {
	cfg = cfg.filled()
	return &Asker{cfg: cfg, trust: trust, what: what, window: min(8, float64(cfg.Window)), slow: float64(cfg.Window), guess: policy.PieceSize / 4}
}

// Progress is how many pieces have been verified, of how many; 0 of 0 before the head has come.
func (a *Asker) Progress() (pieces, of int) {
	if a.head == nil {
		return 0, 0
	}
	return a.head.Pieces() - a.parts.Left(), a.head.Pieces()
}

// Source is who is asked; "" for nobody.
func (a *Asker) Source() string { return a.source }

// Step takes an event and returns what is to be done. now, in ns, never goes back.
func (a *Asker) Step(now int64, e Event) []Effect {
	a.now = max(a.now, now)
	switch e := e.(type) {
	case Begin:
		if !a.done {
			a.begin(e.Source)
		}
	case Got:
		if e.From == a.source && e.Data.Digest == a.what.Digest {
			a.got(&e.Data)
		}
	case Lacks:
		if e.From == a.source && e.Digest == a.what.Digest {
			a.fail(ErrNone)
		}
	case Gone:
		if e.From == a.source {
			a.fail(ErrGone)
		}
	case Tick:
		a.judge()
	}
	if a.source != "" {
		a.ask()
	}
	out := a.out
	a.out = nil
	return out
}

func (a *Asker) begin(source string) {
	a.source, a.items = source, nil
	a.began, a.news, a.bytes = a.now, a.now, 0
	a.srtt, a.rttvar = 0, 0
	a.window, a.slow = min(8, float64(a.cfg.Window)), float64(a.cfg.Window)
	if a.head != nil && a.parts.Left() == 0 {
		a.finish()
	}
}

// fail gives the source up.
func (a *Asker) fail(err error) {
	if a.source == "" {
		return
	}
	a.out = append(a.out, Failed{a.source, fmt.Errorf("generation %d from %s: %w", a.what.Generation, a.source, err)})
	a.source, a.items = "", nil
}

func forged(err error) error { return errors.Join(ErrForged, err) }

// judge gives a source up that does not do enough.
func (a *Asker) judge() {
	patience := int64(a.cfg.Patience)
	switch {
	case a.source == "":
	case a.now-a.news >= patience:
		a.fail(ErrSilent)
	case a.now-a.began-2*patience > a.bytes*second/int64(a.cfg.MinRate):
		a.fail(ErrSlow)
	}
}

func (a *Asker) got(d *Data) {
	i := a.item(d.What)
	if i == nil {
		return // it came already
	}
	if (i.total != 0 && d.Total != i.total) || d.Total < 1 || d.Total > i.most {
		a.fail(forged(fmt.Errorf("%d bytes of %s", d.Total, i)))
		return
	}
	n, ok := i.put(d, a.cfg.Frame)
	if !ok {
		return
	}
	a.news, a.bytes = a.now, a.bytes+int64(len(d.Bytes))
	if n.tries == 1 {
		a.measured(a.now - n.sent)
	}
	if a.window < a.slow {
		a.window++
	} else {
		a.window += 1 / a.window
	}
	a.window = min(a.window, float64(a.cfg.Window))
	if !i.whole() {
		return
	}
	a.drop(i)
	if i.what == Head {
		a.headed(i.bytes)
		return
	}
	a.guess = i.total
	if err := a.parts.Put(i.what-1, i.bytes); err != nil {
		a.fail(forged(err))
		return
	}
	if a.parts.Left() == 0 {
		a.finish()
	}
}

func (a *Asker) headed(b []byte) {
	h, n, err := policy.ParseHead(b)
	switch {
	case err != nil:
		a.fail(forged(err))
	case n != len(b):
		a.fail(forged(fmt.Errorf("head: %w: %d of %d", policy.ErrTrailing, len(b)-n, len(b))))
	case h.Digest() != a.what.Digest || h.Generation != a.what.Generation:
		a.fail(forged(fmt.Errorf("head: %w: generation %d, %s; offered was %s", policy.ErrDigest, h.Generation, h.Digest().Short(), a.what.Digest.Short())))
	default:
		if err := h.Verify(a.trust); err != nil {
			a.fail(forged(err))
			return
		}
		a.head, a.parts = h, policy.NewAssembler(h)
	}
}

func (a *Asker) finish() {
	s, err := a.parts.Finish()
	if err != nil {
		a.fail(err)
		return
	}
	a.out = append(a.out, Done{s})
	a.source, a.items, a.done = "", nil, true
}
