// SPDX-License-Identifier: Apache-2.0

// Package margin judges how much of what its timers bear a member's machine uses up. Nothing here makes a timer longer: a margin
// that is thin is said, and what to do about it is the operator's to decide.
//
// It is pure: a Judge is fed one Sample a second by whoever measures, and knows neither clock nor cluster.
package margin

import (
	"fmt"
	"time"
)

// The hysteresis of a margin: it is thin in the first second that uses ThinAt percent of it or more, and well again after Calm
// seconds in a row that use less than WellAt.
const (
	ThinAt = 50
	WellAt = 25
	Calm   = 30
)

// slowLimit is the share of slow answers, in thousandths, that uses a margin up: one in ten. Three slow ones in a row are a silence.
const slowLimit = 100

// Timers are those of the cluster that lateness eats into.
type Timers struct {
	Probe time.Duration // between two probes
	Dead  time.Duration // silence that is death
	Soft  time.Duration // age at which an unwatched lease ends
}

// Sample is the worst of one second, as a member measured it.
type Sample struct {
	Probe   time.Duration // by which a probe left late
	Lease   time.Duration // by which a lease was renewed late
	Softirq time.Duration // that a received packet waited for its softirq
	Slow    int           // answers, in thousandths, that took longer than a probe interval, on the worst path
	Path    string        // that path, for people: "fw2 on ext"
}

// Kind is what eats into a timer.
type Kind uint8

// The kinds, in the order in which they are shown.
const (
	Probe   Kind = iota // late probes, into probe
	Lease               // late renewals, into soft
	Softirq             // late softirqs, into dead
	Answers             // slow answers, into dead
	Kinds               // how many there are
)

// Timer returns the name, as in cluster.yaml and `holdfast timers`, of the timer that the kind eats into.
func (k Kind) Timer() string { return [...]string{"probe", "soft", "dead", "dead", ""}[min(k, Kinds)] }

// Measure returns what is measured, as metrics and the CLI call it.
func (k Kind) Measure() string {
	return [...]string{"probe-jitter", "lease-delay", "softirq-delay", "slow-answers", ""}[min(k, Kinds)]
}

// Reading is how much of a margin is used.
type Reading struct {
	Kind Kind
	// Value and Limit are the lateness and what the timer bears of it. For Answers they are 0: Slow of 1000 answers were slow.
	Value, Limit time.Duration
	Slow         int
	Path         string
	// Used is the share of the margin in percent; it may be above 100.
	Used int
	// Thin is the verdict, with hysteresis.
	Thin bool
}

// String says what eats into which timer, and how much of the margin is used.
func (r Reading) String() string {
	if r.Kind == Answers {
		return fmt.Sprintf("%d of 1000 answers of %s took longer than a probe interval, %d %% of what the timer %s bears",
			r.Slow, r.Path, r.Used, r.Kind.Timer())
	}
	what := [...]string{"a probe was sent", "the lease was renewed", "a received packet was handled"}[r.Kind]
	return fmt.Sprintf("%s %.1f ms late, %d %% of the %.1f ms that the timer %s bears", what,
		float64(r.Value)/1e6, r.Used, float64(r.Limit)/1e6, r.Kind.Timer())
}

// Judge keeps the verdicts on one member. The zero value knows nothing yet and finds all well. It is not safe for concurrent use.
type Judge struct {
	readings [Kinds]Reading
	worst    [Kinds]Reading // since the margin became thin
	calm     [Kinds]int
	fed      bool
}

// Take takes the sample of another second and returns the readings whose verdict has changed.
func (j *Judge) Take(t Timers, s Sample) []Reading {
	j.fed = true
	var changed []Reading
	for k := range Kinds {
		r := read(k, t, s)
		was := j.readings[k].Thin
		switch {
		case r.Used >= ThinAt:
			r.Thin, j.calm[k] = true, 0
		case r.Used >= WellAt:
			r.Thin, j.calm[k] = was, 0
		default:
			j.calm[k]++
			r.Thin = was && j.calm[k] < Calm
		}
		if r.Thin && (!was || r.Used > j.worst[k].Used) {
			j.worst[k] = r
		}
		j.readings[k] = r
		if r.Thin != was {
			changed = append(changed, r)
		}
	}
	return changed
}

// Ended says that a path is silent: that its answers were slow says nothing any more about what is still there. It returns the reading of
// slow answers if its verdict has changed by that.
func (j *Judge) Ended(path string) []Reading {
	r := &j.readings[Answers]
	if !r.Thin || j.worst[Answers].Path != path {
		return nil
	}
	if r.Used >= ThinAt && r.Path != path {
		j.worst[Answers] = *r // which is now the worst that is known
		return nil
	}
	*r, j.calm[Answers] = Reading{Kind: Answers, Path: path}, 0
	return []Reading{*r}
}

// Readings returns the last readings in the order of their kinds, none before the first Take.
func (j *Judge) Readings() []Reading {
	if !j.fed {
		return nil
	}
	return append([]Reading(nil), j.readings[:]...)
}

// Worst returns of each margin that is thin now the worst reading since it became so: the last second may have been calm again.
func (j *Judge) Worst() []Reading {
	var thin []Reading
	for k := range Kinds {
		if j.readings[k].Thin {
			thin = append(thin, j.worst[k])
		}
	}
	return thin
}

// limit is how much lateness the timer of a kind bears.
func (t Timers) limit(k Kind) time.Duration {
	switch k {
	case Probe:
		return t.Probe // later, and a probe is left out
	case Lease:
		return max(t.Soft-t.Probe, t.Probe/2) // a lease is a probe interval old when it is renewed on time
	default:
		return max(t.Dead-t.Probe, t.Probe) // the probe that went unanswered may have left right after the last answered one
	}
}

func read(k Kind, t Timers, s Sample) Reading {
	r := Reading{Kind: k}
	switch k {
	case Probe:
		r.Value = s.Probe
	case Lease:
		r.Value = s.Lease
	case Softirq:
		r.Value = s.Softirq
	case Answers:
		r.Slow, r.Path, r.Used = s.Slow, s.Path, s.Slow*100/slowLimit
		return r
	}
	if r.Limit = t.limit(k); r.Limit > 0 {
		r.Used = int(min(r.Value*100/r.Limit, 1<<20))
	}
	return r
}
