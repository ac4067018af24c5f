// SPDX-License-Identifier: Apache-2.0

package gate

import "testing"

// TestShare: in load sharing Forward of group 0 is the share's, under whoever's term, and Answer the lease's.
func TestShare(t *testing.T) {
	tests := []struct {
		name  string
		words func(w *Words)
		want  Bits
	}{
		{"none", func(*Words) {}, 0},
		{"fresh", func(w *Words) { w.RenewShare(5, at) }, Forward},
		{"of term 0", func(w *Words) { w.RenewShare(0, at) }, 0},
		{"revoked", func(w *Words) { w.RenewShare(5, at); w.RevokeShare() }, 0},
		{"revoked while it lingers", func(w *Words) { w.ShareLinger = at + 1; w.RevokeShare() }, 0},
		{"ended in order", func(w *Words) { w.RenewShare(5, at); w.EndShare(at) }, Forward},
		{"ended in order when it was fenced off", func(w *Words) { w.Group[0].Fence.Term = 6; w.RenewShare(5, at); w.EndShare(at) }, 0},
		{"late", func(w *Words) { w.RenewShare(5, at-21*ms) }, 0},
		{"late, watched", func(w *Words) { w.RenewShare(5, at-21*ms); w.Watched = at - 24*ms }, Forward | Watched},
		{"very late, watched", func(w *Words) { w.RenewShare(5, at-1001*ms); w.Watched = at }, Watched},
		{"under another's term", func(w *Words) { w.Grant(0, 5, 0, at); w.RenewShare(5, at) }, Forward},
		{"under a term above the fence", func(w *Words) { w.Grant(0, 4, 0, at); w.RenewShare(5, at) }, Forward},
		{"fenced off", func(w *Words) { w.Grant(0, 6, 0, at); w.RenewShare(5, at) }, 0},
		{"a lease without a share", func(w *Words) { w.Renew(0, 5, at) }, Answer},
		{"a lease that lingers without a share", func(w *Words) { w.Group[0].Linger = at + 1 }, 0},
		{"a lease and a share", func(w *Words) { w.Renew(0, 5, at); w.RenewShare(5, at) }, Answer | Forward},
		{"lingers", func(w *Words) { w.ShareLinger = at + 1 }, Forward},
		{"lingered", func(w *Words) { w.ShareLinger = at }, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := words()
			w.Sharing = true
			tt.words(&w)
			if got := w.Serving(0, at); got != tt.want {
				t.Errorf("bits %06b, want %06b", got, tt.want)
			}
			if got, want := w.ShareOpen(at), tt.want.Has(Forward) && at >= w.ShareLinger; got != want {
				t.Errorf("open %v, want %v", got, want)
			}
			if w.Serving(3, at).Has(Forward) {
				t.Error("a share opens another group")
			}
			w.Sharing = false
			if !tt.want.Has(Answer) && w.Group[0].Linger == 0 && w.Serving(0, at).Has(Forward) {
				t.Error("a share forwards without load sharing")
			}
		})
	}
}

// TestShareOutlivesGrants: whoever is granted a term, an open share lingers, so that all have time to renew theirs; unless it is told to go.
func TestShareOutlivesGrants(t *testing.T) {
	linger := int64(words().Linger)
	tests := []struct {
		name string
		kind Kind
		term uint32
		age  int64 // of the share
		want int64 // until when it lingers
	}{
		{"claim", Claim, 6, 0, at + linger},
		{"graceful", Graceful, 6, 0, at + linger},
		{"courtesy", Courtesy, 6, 0, at + linger},
		{"claim of the share's own term", Claim, 5, 0, at + linger},
		{"surrender", Surrender, 6, 0, 0},
		{"claim of a share that is closed", Claim, 6, 30 * ms, 0},
		{"refused claim", Claim, 4, 0, 0},
		{"refused surrender", Surrender, 4, 0, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := words()
			w.Sharing = true
			w.Group[0].Fence = Fence{Term: 4, Grantee: 1}
			w.Renew(0, 4, at-20*ms) // so that a courtesy is granted
			w.RenewShare(5, at-tt.age)
			w.Yield(at, Yield{Source: 0, EchoIncarnation: 77, Term: tt.term, Kind: tt.kind, MinAgeMs: 10})
			if w.ShareLinger != tt.want {
				t.Errorf("lingers until %d, want %d", w.ShareLinger, tt.want)
			}
			if want := tt.want != 0 || tt.term == 4 && tt.age == 0; w.Serving(0, at).Has(Forward) != want {
				t.Errorf("forwards: %v, want %v", !want, want)
			}
		})
	}
	t.Run("a share that lingers already", func(t *testing.T) {
		w := words()
		w.Sharing = true
		w.RenewShare(5, at)
		w.Grant(0, 6, 2, at)
		w.Grant(0, 7, 2, at+ms)
		if w.ShareLinger != at+linger {
			t.Errorf("lingers until %d, want %d: it was not open any more", w.ShareLinger, at+linger)
		}
		w.Yield(at+2*ms, Yield{Source: 0, EchoIncarnation: 77, Term: 8, Kind: Surrender})
		if w.Serving(0, at+2*ms).Has(Forward) {
			t.Error("it lingers on although it was told to go")
		}
		w.RenewShare(8, at+3*ms)
		w.Yield(at+4*ms, Yield{Source: 0, EchoIncarnation: 77, Term: 8, Kind: Surrender})
		if !w.ShareOpen(at + 4*ms) {
			t.Error("the repetition of an old request closes a share that was admitted since")
		}
	})
}

// TestShareInReplies: a gate without a lease tells the term and age of its share.
func TestShareInReplies(t *testing.T) {
	w := words()
	w.Sharing = true
	w.RenewShare(5, at-8*ms-ms/2)
	if r := w.Probe(at, Probe{Source: 0}); r.Term != 5 || r.LeaseAgeMs != 8 || r.Bits != Forward {
		t.Errorf("%+v, want term 5, age 8 ms", r)
	}
	if r := w.Probe(at, Probe{Source: 0, Group: 3}); r.Term != 0 || r.LeaseAgeMs != NoLease {
		t.Errorf("group 3: %+v, want no lease", r)
	}
	w.Renew(0, 6, at-10*ms-ms/2)
	if r := w.Probe(at, Probe{Source: 0}); r.Term != 6 || r.LeaseAgeMs != 10 {
		t.Errorf("%+v, want the lease: term 6, age 10 ms", r)
	}
}
