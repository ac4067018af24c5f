// SPDX-License-Identifier: Apache-2.0

package policyplane

import (
	"bytes"
	"compress/flate"
	"crypto/ed25519"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-project/holdfast/ccp"
	"github.com/holdfast-project/holdfast/policy"
	"github.com/holdfast-project/holdfast/policy/install"
	"github.com/holdfast-project/holdfast/policy/transfer"
)

// hostile is a policy's file that somebody made to do harm.
type hostile struct {
	name  string
	offer policy.Offer // by which it is named to members
	head  []byte
	piece [][]byte // as they travel
	want  error    // of policy's
}

func (h *hostile) file() []byte {
	f := bytes.Clone(h.head)
	for _, p := range h.piece {
		f = append(binary.BigEndian.AppendUint32(f, uint32(len(p))), p...)
	}
	return f
}

// take makes a file of a sealed policy, to be changed.
func take(name string, want error, s *policy.Sealed) *hostile {
	h := &hostile{name: name, want: want, head: s.Head().Encode(), offer: s.Head().Offer("")}
	for i := range s.Head().Pieces() {
		h.piece = append(h.piece, s.Piece(i))
	}
	return h
}

// hostiles are of generation g, each different; older is a good one that is not new any more.
func hostiles(t *testing.T, g uint64) []*hostile {
	t.Helper()
	stranger := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{9}, ed25519.SeedSize))
	n := 0
	seal := func(key ed25519.PrivateKey, cluster uint16) *policy.Sealed {
		n++ // who gave one that was forged is not asked for just that again
		s, err := policy.Seal(&policy.Bundle{Cluster: cluster, Generation: g, Comment: fmt.Sprint(n), Ruleset: "table inet evil {\n\tchain c {\n\t\taccept\n\t}\n}\n"}, key)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	unsigned := take("unsigned", policy.ErrSignature, seal(signer, cluster))
	clear(unsigned.head[len(unsigned.head)-ed25519.SignatureSize:])
	changed := take("changed after it was signed", policy.ErrSignature, seal(signer, cluster))
	changed.head[27]++
	oversized := take("oversized", policy.ErrOversized, seal(signer, cluster))
	binary.BigEndian.PutUint32(oversized.head[28:], policy.MaxBody+1)
	var packed bytes.Buffer
	packed.WriteByte(1)
	w, _ := flate.NewWriter(&packed, flate.BestCompression)
	_, _ = w.Write(make([]byte, 16<<20))
	_ = w.Close()
	bomb := take("a bomb", policy.ErrOversized, seal(signer, cluster))
	bomb.piece[0] = packed.Bytes()
	other := take("another piece", policy.ErrDigest, seal(signer, cluster))
	other.piece[0] = bytes.ToUpper(other.piece[0])
	if other.piece[0][0] != 0 {
		t.Fatal("a piece that is packed cannot be changed like this")
	}
	return []*hostile{unsigned, changed, oversized, bomb, other,
		take("signed by somebody else", policy.ErrKey, seal(stranger, cluster)), take("of another cluster", policy.ErrCluster, seal(signer, cluster+1))}
}

// unchanged says that a member has what it had, and nothing more.
func (m *member) unchanged(what string, generation uint64) {
	m.w.t.Helper()
	s := m.snap()
	if m.in() != generation || s.Status != StatusOK || s.Prepared != nil {
		m.w.t.Errorf("%s: in force %d, %v %s, prepared %+v", what, m.in(), s.Status, s.Reason, s.Prepared)
	}
	for _, g := range s.History {
		if g.Generation > generation {
			m.w.t.Errorf("%s: generation %d, %s, was kept", what, g.Generation, g.Digest.Short())
		}
	}
	if strings.Contains(m.tables(), "evil") {
		m.w.t.Errorf("%s: the kernel has %s", what, m.tables())
	}
}

// text is what the latest event of a kind says.
func (m *member) text(k Kind) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := len(m.events) - 1; i >= 0; i-- {
		if m.events[i].Kind == k {
			return m.events[i].Source + ": " + m.events[i].Text
		}
	}
	return ""
}

// TestHostile gives a member every hostile policy by each way that one can come: from management for an install, from management to recover
// with, from a peer over CCP, and by an operator's hand. Each is refused by name, told as an event, and changes nothing.
func TestHostile(t *testing.T) {
	t.Parallel()
	t.Run("management", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, 1)
		m := w.members[0].up()
		w.install(1, bundle(t, 1))
		w.install(2, bundle(t, 2))
		for i, h := range hostiles(t, 3) {
			m.forget()
			number := uint64(10 + i)
			w.server.set(func() {
				w.server.files[h.offer.Digest] = h.file()
				w.server.orders.Attempt = OrderedAttempt{Number: number, Policy: h.offer, Phase: PhasePrepare, ConfirmWithin: time.Minute}
			})
			w.replied(number, install.Refused)
			w.within(5*time.Second, h.name+": told", func() bool { return m.saw(Forged) && m.saw(Refused) })
			if got := m.text(Forged); !strings.Contains(got, h.want.Error()) || !strings.HasPrefix(got, "management: ") {
				t.Errorf("%s: %q, want %v", h.name, got, h.want)
			}
			m.unchanged(h.name, 2)
			w.server.order(number, bundle(t, 3), PhaseAbort, 0)
		}
		// To recover with: management says that this is what the cluster has.
		for _, h := range hostiles(t, 4) {
			m.forget()
			before := m.snap().Counters.Forged
			w.server.set(func() {
				w.server.files[h.offer.Digest] = h.file()
				w.server.orders.Current = h.offer
			})
			w.within(5*time.Second, h.name+" to recover with: told", func() bool { return m.saw(Forged) && m.snap().Counters.Forged > before })
			if got := m.text(Forged); !strings.Contains(got, h.want.Error()) {
				t.Errorf("%s: %q, want %v", h.name, got, h.want)
			}
			m.unchanged(h.name, 2)
		}
	})
	t.Run("management replays", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, 1)
		m := w.members[0].up()
		w.install(1, bundle(t, 1))
		w.install(2, bundle(t, 2))
		m.forget()
		w.server.order(9, bundle(t, 1), PhasePrepare, time.Minute)
		w.replied(9, install.Refused)
		w.within(5*time.Second, "told", func() bool { return m.saw(Refused) })
		m.unchanged("an older one", 2)
	})
	t.Run("a peer", func(t *testing.T) {
		t.Parallel()
		var p *peer
		w := newWorld(t, 2, func(o *Options) {
			o.Management = nil
			o.Send = func(_ uint8, f ccp.Policy) { p.asked(f) }
		})
		m := w.members[0]
		p = &peer{to: m}
		m.up()
		if _, err := m.plane.Load(t.Context(), bundle(t, 2).Encode()); err != nil {
			t.Fatal(err)
		}
		w.all(2)
		for i, h := range append(hostiles(t, 3), take("an older one", nil, bundle(t, 1))) {
			m.forget()
			p.offer(h, uint64(i))
			if h.want == nil { // nobody asks for it
				w.within(5*time.Second, "the HELLO is heard", func() bool { return m.snap().View.Digest == bundle(t, 2).Head().Digest() })
				m.unchanged(h.name, 2)
				continue
			}
			w.within(10*time.Second, h.name+": told", func() bool { return m.saw(Forged) })
			if got := m.text(Forged); !strings.HasPrefix(got, "b: ") || !strings.Contains(got, h.want.Error()) && !strings.Contains(got, policy.ErrDigest.Error()) {
				t.Errorf("%s: %q, want %v", h.name, got, h.want) // what is not even what the HELLO names need not be verified
			}
			m.unchanged(h.name, 2)
			m.plane.PeerGone(1)
		}
	})
	t.Run("an operator", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, 1, func(o *Options) { o.Management = nil })
		m := w.members[0].up()
		if _, err := m.plane.Load(t.Context(), bundle(t, 2).Encode()); err != nil {
			t.Fatal(err)
		}
		w.all(2)
		for _, h := range append(hostiles(t, 3), take("an older one", policy.ErrOlder, bundle(t, 1))) {
			if _, err := m.plane.Load(t.Context(), h.file()); !errors.Is(err, h.want) {
				t.Errorf("%s: %v, want %v", h.name, err, h.want)
			}
			m.unchanged(h.name, 2)
		}
	})
}

// peer is a member whose HELLO and frames somebody else writes.
type peer struct {
	to *member
	h  *hostile
}

// offer says that it serves with a policy.
func (p *peer) offer(h *hostile, n uint64) {
	p.to.w.mu.Lock()
	p.h = h
	p.to.w.mu.Unlock()
	p.to.plane.Peer(1, PeerState{Active: true, Generation: h.offer.Generation, View: ccp.PolicyView{Digest: h.offer.Digest, Highest: h.offer.Generation + n}})
}

// unit is how many bytes of a policy a frame has (transfer.Config).
const unit = 1230

// asked answers whatever is asked for with what it has.
func (p *peer) asked(f ccp.Policy) {
	p.to.w.mu.Lock()
	h, plane := p.h, p.to.running()
	p.to.w.mu.Unlock()
	if h == nil || plane == nil {
		return
	}
	for _, part := range f {
		want, is := part.(ccp.PolicyWant)
		if !is || want.Digest != h.offer.Digest || int(want.What) > len(h.piece) {
			continue
		}
		whole := h.head
		if want.What != transfer.Head {
			whole = h.piece[want.What-1]
		}
		for _, r := range want.Ranges {
			for at := int(r.Offset); at < len(whole) && at < int(r.Offset+r.Length); at += unit {
				part := whole[at:min(at+unit, len(whole))]
				plane.Frame(1, ccp.Policy{ccp.PolicyData{Digest: want.Digest, What: want.What, Total: uint32(len(whole)), Offset: uint32(at), Bytes: part}})
			}
		}
	}
}
