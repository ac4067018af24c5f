// SPDX-License-Identifier: Apache-2.0

package transfer

import (
	"maps"
	"slices"

	"github.com/holdfast-project/holdfast/policy"
)

// Bounds of what an Answerer keeps and does, whoever asks.
const (
	maxAskers   = 16 // who are remembered; a cluster has fewer members
	maxPacked   = 64 // pieces as they travel, 64 KiB at most each
	maxPolicies = 2  // that one frame may ask for
	noneCost    = 64 // bytes, of saying that there is none
	packCost    = policy.PieceSize / 4
)

// Answerer gives policies to those who ask. Not safe for concurrent use.
type Answerer struct {
	cfg    Config
	askers map[string]*bucket
	packed map[packedKey][]byte
	order  []packedKey                // of packed, oldest first
	recent [maxPolicies]policy.Digest // that were found last, the newest first: have should keep as many
}

type packedKey struct {
	digest policy.Digest
	what   int
}

// bucket is how much one asker may still have.
type bucket struct {
	left int64 // in bytes times ns: no rounding is lost
	at   int64
}

// NewAnswerer makes one.
func NewAnswerer(cfg Config) *Answerer {
	return &Answerer{cfg: cfg.filled(), askers: map[string]*bucket{}, packed: map[packedKey][]byte{}}
}

// Answer is what to send to a member for the wants of one frame: a Data a frame, and the digests of which there is no policy here. It is
// never more than was asked for, than Window frames, or than what Rate leaves: the rest is asked for again. have finds a policy, or returns nil;
// it is called maxPolicies times at most, and what it finds beside the
// latest two is charged to who asks. The bytes of the Data must not be changed.
func (a *Answerer) Answer(now int64, from string, wants []Want, have func(policy.Digest) *policy.Sealed) (data []Data, none []policy.Digest) {
	b := a.bucket(now, from)
	if b == nil {
		return nil, nil
	}
	found := map[policy.Digest]*policy.Sealed{}
	for _, w := range wants[:min(len(wants), MaxWants)] {
		s, known := found[w.Digest]
		if !known {
			if len(found) == maxPolicies {
				continue
			}
			if !slices.Contains(a.recent[:], w.Digest) && !b.take(packCost) {
				continue // finding it may mean to read and verify all of it
			}
			s = have(w.Digest)
			if s != nil && a.recent[0] != w.Digest {
				a.recent = [maxPolicies]policy.Digest{w.Digest, a.recent[0]}
			}
			found[w.Digest] = s
			if s == nil && b.take(noneCost) {
				none = append(none, w.Digest)
			}
		}
		if s == nil {
			continue
		}
		whole := a.whole(b, s, w)
		if whole == nil {
			continue
		}
		for _, r := range w.Ranges[:min(len(w.Ranges), MaxRanges)] {
			for at := max(r.Offset, 0); at < len(whole) && at-r.Offset < r.Length; at += a.cfg.Frame {
				part := whole[at:min(at+a.cfg.Frame, len(whole))]
				if len(data) == a.cfg.Window || !b.take(len(part)) {
					return data, none
				}
				data = append(data, Data{w.Digest, w.What, len(whole), at, part})
			}
		}
	}
	return data, none
}

// whole is the head, or a piece as it travels: packing one costs time, so the latest are kept.
func (a *Answerer) whole(b *bucket, s *policy.Sealed, w Want) []byte {
	key := packedKey{w.Digest, w.What}
	if p, ok := a.packed[key]; ok {
		return p
	}
	if w.What < 0 || w.What > s.Head().Pieces() || !b.take(packCost) {
		return nil
	}
	var p []byte
	if w.What == Head {
		p = s.Head().Encode()
	} else {
		p = s.Piece(w.What - 1)
	}
	if len(a.order) == maxPacked {
		delete(a.packed, a.order[0])
		a.order = append(a.order[:0], a.order[1:]...)
	}
	a.packed[key] = p
	a.order = append(a.order, key)
	return p
}

const second = int64(1e9)

// bucket is the asker's, filled up to now; nil if more ask at once than a cluster has. One that is full again is as good as none: who
// comes instead, under another name since the cluster was changed perhaps, takes its place.
func (a *Answerer) bucket(now int64, from string) *bucket {
	b := a.askers[from]
	if b == nil {
		if len(a.askers) == maxAskers {
			maps.DeleteFunc(a.askers, func(_ string, b *bucket) bool { return b.fill(now, a.cfg) })
		}
		if len(a.askers) == maxAskers {
			return nil
		}
		b = &bucket{int64(a.cfg.Burst) * second, now}
		a.askers[from] = b
	}
	b.fill(now, a.cfg)
	return b
}

// fill adds what has come in since, and says whether the bucket is full.
func (b *bucket) fill(now int64, cfg Config) bool {
	full := int64(cfg.Burst) * second
	if d := min(max(now-b.at, 0), full/int64(cfg.Rate)+1); d > 0 {
		b.left = min(full, b.left+d*int64(cfg.Rate))
	}
	b.at = max(b.at, now)
	return b.left == full
}

func (b *bucket) take(n int) bool {
	if b.left < int64(n)*second {
		return false
	}
	b.left -= int64(n) * second
	return true
}
