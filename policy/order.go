// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"cmp"
	"strconv"
)

// Offer is one of several copies of a policy, by where it is.
type Offer struct {
	Source     string // "gw-a", "local", "management"
	Generation uint64 // 0: none
	Digest     Digest
}

// None reports whether the source has no policy.
func (o Offer) None() bool { return o.Generation == 0 }

// Compare orders two offers by generation: negative if a is older. Equal generations with different digests are a *ConflictError.
func Compare(a, b Offer) (int, error) {
	if a.Generation == b.Generation && a.Digest != b.Digest && !a.None() {
		return 0, &ConflictError{a.Generation, a, b}
	}
	return cmp.Compare(a.Generation, b.Generation), nil
}

// Newest returns the offer to be used: the highest generation, the first of equal ones, so that the order of offers is the order among
// sources. Offers must come from verified heads. It returns no offer if there is none, and a *ConflictError if the two newest disagree:
// older ones may disagree, they are not used.
func Newest(offers []Offer) (Offer, error) {
	var best Offer
	for _, o := range offers {
		if o.Generation > best.Generation {
			best = o
		}
	}
	for _, o := range offers {
		if _, err := Compare(best, o); err != nil {
			return Offer{}, err
		}
	}
	return best, nil
}

func itoa(n uint64) string { return strconv.FormatUint(n, 10) }
