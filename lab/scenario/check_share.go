// SPDX-License-Identifier: Apache-2.0

package scenario

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"

	"github.com/holdfast-project/holdfast/internal/control"
	"github.com/holdfast-project/holdfast/lab/paths"
)

// loads asks every member that is on how the load is shared; said is why not all answered.
func (r *runner) loads(ctx context.Context) (all []control.Load, said string, err error) {
	for _, m := range r.cluster.Members() {
		if !m.Machine().Booted() || !m.Answering() {
			continue
		}
		l, silent, err := asked(ctx, r, m.Name(), (*control.Client).Load)
		if err != nil {
			return nil, "", err
		}
		if silent != "" {
			return nil, m.Name() + ": " + silent, nil
		}
		all = append(all, l)
	}
	if len(all) == 0 {
		said = "no member answers"
	}
	return all, said, nil
}

// settled holds while all members that answer go by one table in which every slot has a taker and none moves.
type settled struct{}

func (settled) check(ctx context.Context, r *runner) (bool, string, error) {
	all, said, err := r.loads(ctx)
	if err != nil || said != "" {
		return false, said, err
	}
	ok := true
	var got []string
	for _, l := range all {
		t := l.Table
		same := t.Term == all[0].Table.Term && t.Number == all[0].Table.Number
		ok = ok && same && t.Settled && t.Term > 0
		got = append(got, fmt.Sprintf("%s has %d.%d (%s, settled %v, %d moving, %d of nobody)", l.Member, t.Term, t.Number, t.Phase, t.Settled, t.Moving, t.Nobody))
	}
	if !ok {
		return false, strings.Join(got, "; "), nil
	}
	return true, slotsText(all[0]), nil
}

func slotsText(l control.Load) string {
	var text []string
	for _, m := range l.Members {
		text = append(text, fmt.Sprintf("%s %d", m.Name, m.Slots))
	}
	return fmt.Sprintf("table %d.%d: %s", l.Table.Term, l.Table.Number, strings.Join(text, ", "))
}

// slots compares how many slots a member takes, as all that answer say.
type slots struct {
	member string
	want   compare
}

func (c slots) check(ctx context.Context, r *runner) (bool, string, error) {
	all, said, err := r.loads(ctx)
	if err != nil || said != "" {
		return false, said, err
	}
	ok := true
	var got []string
	for _, l := range all {
		for _, m := range l.Members {
			if m.Name == c.member {
				ok = ok && c.want.holds(float64(m.Slots))
				got = append(got, fmt.Sprintf("%d (%s)", m.Slots, l.Member))
			}
		}
	}
	return ok && len(got) > 0, strings.Join(got, ", "), nil
}

// untranslated holds while all members that answer say of the same families that no connection is translated.
type untranslated struct{ want string }

func (c untranslated) check(ctx context.Context, r *runner) (bool, string, error) {
	all, said, err := r.loads(ctx)
	if err != nil || said != "" {
		return false, said, err
	}
	ok := true
	var got []string
	for _, l := range all {
		is := "none"
		switch len(l.Untranslated) {
		case 1:
			is = l.Untranslated[0]
		case 2:
			is = "both"
		}
		ok = ok && is == c.want
		got = append(got, fmt.Sprintf("%s (%s)", is, l.Member))
	}
	return ok, strings.Join(got, ", "), nil
}

// leads holds while a member, and no other, answers for the gateway's addresses.
type leads struct{ member string }

func (c leads) check(ctx context.Context, r *runner) (bool, string, error) {
	got := strings.Join(r.cluster.Serving(ctx), " and ")
	return got == c.member, got, nil
}

// shares holds if each member forwarded its part, by its weight at the mark, of the numbered connections that began since the mark.
type shares struct{ within float64 }

func (c shares) check(ctx context.Context, r *runner) (bool, string, error) {
	seen, err := r.seen(ctx)
	if err != nil {
		return false, "", err
	}
	if r.shared == nil {
		return false, "", errors.New("nobody said how the load is shared when it was marked")
	}
	if seen.Numbered == 0 || seen.Missed > 0 {
		return false, fmt.Sprintf("%d connections seen, %d frames missed", seen.Numbered, seen.Missed), nil
	}
	sum := 0
	for _, m := range r.shared {
		if m.Slots > 0 {
			sum += int(m.Weight)
		}
	}
	ok := sum > 0
	var got []string
	for _, m := range r.shared {
		want := 0.0
		if m.Slots > 0 {
			want = float64(m.Weight) / float64(sum)
		}
		is := seen.Share(m.Name)
		ok = ok && math.Abs(is-want) <= c.within*want
		got = append(got, fmt.Sprintf("%s %.2f %% of %.2f %%", m.Name, 100*is, 100*want))
	}
	return ok, fmt.Sprintf("%s; %d connections", strings.Join(got, ", "), seen.Numbered), nil
}

// seen is what members forwarded since the mark.
func (r *runner) seen(ctx context.Context) (paths.Report, error) {
	if r.paths == nil {
		return paths.Report{}, errors.New("nobody looks: write paths into the traffic block")
	}
	if _, _, err := r.window(ctx); err != nil {
		return paths.Report{}, err
	}
	return r.paths.Report(), nil
}

// ways compares what is told of numbered connections since the mark.
type ways struct {
	what string
	want compare
}

// wayWords are what of them can be compared.
var wayWords = []string{"numbered", "both", "apart", "twice"}

func (c ways) check(ctx context.Context, r *runner) (bool, string, error) {
	seen, err := r.seen(ctx)
	if err != nil {
		return false, "", err
	}
	value := map[string]int{"numbered": seen.Numbered, "both": seen.Both, "apart": seen.Apart, "twice": seen.Twice}[c.what]
	got := fmt.Sprintf("%d of %d", value, seen.Numbered)
	if seen.Example != "" && (c.what == "apart" || c.what == "twice") {
		got += ", like " + seen.Example
	}
	if seen.Missed > 0 {
		return false, fmt.Sprintf("%s, and %d frames were not seen", got, seen.Missed), nil
	}
	return c.want.holds(float64(value)), got, nil
}

// stalled compares how many conversations stood still for longer than a time since the mark.
type stalled struct {
	over compare
	want compare
	owned
}

func (c stalled) check(_ context.Context, r *runner) (bool, string, error) {
	talks, err := r.talking("")
	if err == nil {
		talks, err = c.among(r, talks)
	}
	if err != nil {
		return false, "", err
	}
	count := 0
	for _, t := range talks {
		if c.over.holds(float64(t.Gap)) {
			count++
		}
	}
	return c.want.holds(float64(count)), fmt.Sprintf("%d of %d", count, len(talks)), nil
}
