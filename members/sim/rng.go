// SPDX-License-Identifier: Apache-2.0

package sim

// rng is SplitMix64: small, fast, and the same on every machine.
type rng struct{ s uint64 }

func (r *rng) next() uint64 {
	r.s += 0x9e3779b97f4a7c15
	z := r.s
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// n returns a number in [0, n), 0 if n is not positive.
func (r *rng) n(n int64) int64 {
	if n <= 0 {
		return 0
	}
	return int64(r.next()>>1) % n
}

// between returns a number in [lo, hi].
func (r *rng) between(lo, hi int64) int64 { return lo + r.n(hi-lo+1) }

// chance reports true p times in 65536.
func (r *rng) chance(p uint32) bool { return p != 0 && uint32(r.next()>>48) < p }
