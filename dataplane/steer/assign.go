// SPDX-License-Identifier: Apache-2.0

package steer

// Assign returns who takes each slot, and how many slots have another taker than before. The members' numbers of slots stand to each other as
// their weights, rounded up or down, and no other distribution with such numbers moves fewer. Where rounding leaves a choice, those
// who have more keep it, then who is nearest to the next slot gets it, then the lower number. An owner that is no member, or
// that has no weight, keeps nothing. If no member has weight, nobody takes anything.
func Assign(old *[Slots]uint8, weights [Members]uint16) (owners [Slots]uint8, moved int) {
	var have [Members]int
	for _, o := range old {
		if o < Members {
			have[o]++
		}
	}
	want := targets(have, weights)
	var need []uint8 // one member for each slot that is to be given away, taking turns
	lack := want
	for i := range lack {
		lack[i] -= min(have[i], want[i])
	}
	for more := true; more; {
		more = false
		for i := range lack {
			if lack[i] > 0 {
				lack[i]--
				need = append(need, uint8(i))
				more = true
			}
		}
	}
	excess := have
	for i := range excess {
		excess[i] -= min(have[i], want[i])
	}
	owners = *old
	for i, o := range old {
		if o < Members {
			if excess[o] == 0 {
				continue
			}
			excess[o]--
		}
		owners[i] = Nobody
		if len(need) > 0 {
			owners[i], need = need[0], need[1:]
		}
		if owners[i] != o {
			moved++
		}
	}
	return owners, moved
}

// targets returns how many slots each member is to have.
func targets(have [Members]int, weights [Members]uint16) (want [Members]int) {
	total := 0
	for _, w := range weights {
		total += int(w)
	}
	if total == 0 {
		return want
	}
	var rest [Members]int
	left := Slots
	for i, w := range weights {
		want[i], rest[i] = Slots*int(w)/total, Slots*int(w)%total
		left -= want[i]
	}
	var floor = want
	better := func(i, j int) bool {
		switch ki, kj := have[i] > floor[i], have[j] > floor[j]; {
		case ki != kj:
			return ki
		case rest[i] != rest[j]:
			return rest[i] > rest[j]
		}
		return i < j
	}
	for ; left > 0; left-- {
		best := -1
		for i := range want {
			if rest[i] > 0 && want[i] == floor[i] && (best < 0 || better(i, best)) {
				best = i
			}
		}
		want[best]++
	}
	return want
}

// Fill returns who takes each slot when only those that nobody takes are given away: to the members that are farthest below their
// weights. Nothing else moves, however far it is from the weights. If no member has weight, they stay nobody's.
func Fill(old *[Slots]uint8, weights [Members]uint16) [Slots]uint8 {
	var have [Members]int
	for _, o := range old {
		if o < Members {
			have[o]++
		}
	}
	lack := targets(have, weights)
	for i := range lack {
		lack[i] -= have[i]
	}
	owners := *old
	for i, o := range old {
		if o < Members {
			continue
		}
		owners[i] = Nobody
		best := -1
		for m := range lack {
			if weights[m] != 0 && (best < 0 || lack[m] > lack[best]) {
				best = m
			}
		}
		if best >= 0 {
			lack[best]--
			owners[i] = uint8(best)
		}
	}
	return owners
}
