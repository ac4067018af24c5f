// SPDX-License-Identifier: Apache-2.0

package nft

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/mdlayher/netlink"

	"github.com/holdfast-project/holdfast/policy"
	"github.com/holdfast-project/holdfast/policy/ruleset"
)

// What is asked of a generation that is not in the right place.
var (
	// ErrNotPrepared: a commit of a generation whose tables are not there, asleep, all of them.
	ErrNotPrepared = errors.New("the generation is not prepared")
	// ErrNoPrevious: a rollback, and there is no older generation in the kernel.
	ErrNoPrevious = errors.New("no older generation is there to go back to")
	// ErrGone: a baseline of a generation of which a table is not there.
	ErrGone = errors.New("a table of the generation is gone")
	// ErrInForce: an abort of, or a preparation over, the generation that is awake.
	ErrInForce = errors.New("the generation is in force")
)

// Options say where policies are put into force.
type Options struct {
	Cluster uint16 // tables with another cluster's mark are another's
	// Namespace is a descriptor of a network namespace; 0: the process's own.
	Namespace int
	// Command is nft(8); "" finds it in the path of the system.
	Command string
	// Gentle runs it below the priority of what else goes on.
	Gentle bool
}

// Kernel is nf_tables of one network namespace. Not safe for concurrent use, but for Watch.
type Kernel struct {
	options Options
	// carried is what Prepare brought into the prepared generation's sets, so that Commit knows what is gone since.
	carried map[carriedKey]map[string]element
	// asleep is the generation that Prepare loaded last, so that Commit knows whether somebody touched it since.
	asleep map[ruleset.Mark]asleep
	// boot is the boot filter as LoadBootFilter left it, nil if it did not.
	boot *imprint
}

type carriedKey struct {
	generation uint64
	set        policy.Set
}

// New makes a Kernel. It touches nothing.
func New(o Options) *Kernel {
	o.Command = cmp.Or(o.Command, "nft")
	return &Kernel{options: o, carried: map[carriedKey]map[string]element{}}
}

// Policy is a bundle for one member.
type Policy struct {
	Ruleset     *ruleset.Ruleset
	Definitions []ruleset.Definition
	Mark        ruleset.Mark
	Keep        []policy.Set
}

// Of reads a bundle's ruleset for a member. The error joins values of type *ruleset.Error.
func Of(s *policy.Sealed, definitions []ruleset.Definition) (*Policy, error) {
	b := s.Bundle()
	r, err := ruleset.Parse(cmp.Or(b.File, "ruleset"), b.Ruleset)
	if err != nil {
		return nil, err
	}
	return &Policy{Ruleset: r, Definitions: definitions, Keep: b.Keep,
		Mark: ruleset.Mark{Cluster: b.Cluster, Generation: b.Generation, Digest: s.Head().Digest()}}, nil
}

// tables are the names that the policy's tables have in the kernel, each once.
func (p *Policy) tables() []table {
	var all []table
	for i := range p.Ruleset.Tables {
		t := table{family: families[p.Ruleset.Tables[i].Family], name: ruleset.TableName(p.Ruleset.Tables[i].Name, p.Mark.Generation)}
		if !slices.Contains(all, t) {
			all = append(all, t)
		}
	}
	return all
}

// Loaded is one generation that the kernel has.
type Loaded struct {
	Mark  ruleset.Mark
	Awake bool // some of its tables filter; a whole generation is awake or asleep unless somebody interfered
	// Mixed: somebody put some of its tables to sleep, or woke them.
	Mixed  bool
	Tables []string // FAMILY NAME, by the operator's names
	tables []table
}

// State lists what the kernel has, the newest generation first.
func (k *Kernel) State() ([]Loaded, error) {
	c, err := dial(k.options.Namespace)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	return k.state(c)
}

func (k *Kernel) state(c conn) ([]Loaded, error) {
	tables, err := c.tables()
	if err != nil {
		return nil, err
	}
	var all []Loaded
	for _, t := range tables {
		m, ours := ruleset.ParseMark(t.comment)
		if !ours || m.Cluster != k.options.Cluster {
			continue
		}
		i := slices.IndexFunc(all, func(l Loaded) bool { return l.Mark == m })
		if i < 0 {
			i = len(all)
			all = append(all, Loaded{Mark: m, Awake: !t.dormant})
		}
		l := &all[i]
		l.Mixed = l.Mixed || l.Awake == t.dormant
		l.Awake = l.Awake || !t.dormant
		l.Tables = append(l.Tables, familyName(t.family)+" "+ruleset.OperatorName(t.name))
		l.tables = append(l.tables, t)
	}
	slices.SortStableFunc(all, func(a, b Loaded) int { return cmp.Compare(b.Mark.Generation, a.Mark.Generation) })
	return all, nil
}

// Current is the generation in force; ok is false if there is none.
func (k *Kernel) Current() (l Loaded, ok bool, err error) {
	all, err := k.State()
	if i := slices.IndexFunc(all, func(l Loaded) bool { return l.Awake }); i >= 0 {
		return all[i], true, err
	}
	return Loaded{}, false, err
}

// Report tells what a change of generations did besides.
type Report struct {
	Kept []Kept // sets whose elements were to be carried over, in the policy's order
	// The kernel's transactions right before and after a Prepare or Commit; 0: somebody else made one between them, or it failed.
	began, ended uint32
	// Sure, of a commit: what woke is what this process had loaded. Otherwise it was loaded before, or somebody may have changed elements of
	// sets that have thousands.
	Sure bool
}

// Prepare loads a generation asleep, and carries the elements of kept sets over from the one in force. What was asleep is removed first, but
// for the last good one: the newest below the one in force. Repeated it does the same again. The error is a *RulesetError if the ruleset is
// at fault; then nothing has changed but that.
func (k *Kernel) Prepare(ctx context.Context, p *Policy) (Report, error) {
	c, err := dial(k.options.Namespace)
	if err != nil {
		return Report{}, err
	}
	defer c.Close()
	all, err := k.state(c)
	if err != nil {
		return Report{}, err
	}
	awake := slices.IndexFunc(all, func(l Loaded) bool { return l.Awake })
	if awake >= 0 && all[awake].Mark.Generation == p.Mark.Generation {
		return Report{}, fmt.Errorf("prepare generation %d: %w", p.Mark.Generation, ErrInForce)
	}
	var old []netlink.Message
	last := awake >= 0
	for i := range all {
		switch {
		case all[i].Awake:
		case last && i > awake && all[i].Mark.Generation != p.Mark.Generation:
			last = false // the last good one
		default:
			for _, t := range all[i].tables {
				old = append(old, remove(t))
			}
		}
	}
	clear(k.carried)
	k.asleep = nil
	began, err := c.transaction()
	if err != nil {
		return Report{}, err
	}
	if err := c.batch(old); err != nil {
		return Report{}, fmt.Errorf("nftables: remove what was prepared before: %w", err)
	}
	if err := k.load(ctx, p, p.Ruleset.Render(p.Definitions, p.Mark)); err != nil {
		return Report{}, err
	}
	*c.made++
	var r Report
	if awake >= 0 {
		if r, err = k.carry(c, all[awake].Mark.Generation, p.Mark.Generation, p.Keep); err != nil {
			return r, err
		}
	}
	if ended, err := c.transaction(); err == nil && ended == began+*c.made {
		r.began, r.ended = began, ended
	}
	k.remember(c, p, r.ended)
	return r, nil
}

func (k *Kernel) load(ctx context.Context, p *Policy, text ruleset.Rendered) error {
	if _, err := k.nft(ctx, text.Text, "-f", "-"); err != nil {
		names := make([]string, len(p.Definitions))
		for i, d := range p.Definitions {
			names[i] = d.Name
		}
		return problems(p.Ruleset.File, text.Lines, names, err)
	}
	return nil
}

// carry brings the elements of all kept sets from one generation to another.
func (k *Kernel) carry(c conn, from, to uint64, keep []policy.Set) (Report, error) {
	var r Report
	for _, s := range keep {
		key := carriedKey{to, s}
		seen, kept, err := c.carry(families[s.Family], ruleset.TableName(s.Table, from), ruleset.TableName(s.Table, to), s.Name, k.carried[key])
		if err != nil {
			return r, err
		}
		kept.Set, k.carried[key] = s.String(), seen
		r.Kept = append(r.Kept, kept)
	}
	return r, nil
}

// Commit wakes the generation that Prepare loaded and puts the one in force to sleep, in one transaction. The elements of kept sets that
// changed since are brought over before; those that come while that is done, after. A commit of what is in force already changes nothing.
// The error wraps ErrNotPrepared if its tables are not there, asleep, as Prepare left them: somebody changed them since.
func (k *Kernel) Commit(_ context.Context, p *Policy) (Report, error) {
	return k.change(p.Mark, p.Keep, len(p.tables()))
}

// Rollback puts the last good generation in force again: the newest that is asleep and older than the one in force. keep are the sets
// whose elements are carried back. It returns the generation that is in force then.
func (k *Kernel) Rollback(_ context.Context, keep []policy.Set) (ruleset.Mark, Report, error) {
	all, err := k.State()
	if err != nil {
		return ruleset.Mark{}, Report{}, err
	}
	awake := slices.IndexFunc(all, func(l Loaded) bool { return l.Awake })
	if awake < 0 || awake+1 >= len(all) {
		return ruleset.Mark{}, Report{}, ErrNoPrevious
	}
	last := all[awake+1]
	r, err := k.change(last.Mark, keep, len(last.tables))
	return last.Mark, r, err
}

// change makes mark, of which there must be tables, the generation in force.
func (k *Kernel) change(mark ruleset.Mark, keep []policy.Set, tables int) (Report, error) {
	c, err := dial(k.options.Namespace)
	if err != nil {
		return Report{}, err
	}
	defer c.Close()
	all, err := k.state(c)
	if err != nil {
		return Report{}, err
	}
	next := slices.IndexFunc(all, func(l Loaded) bool { return l.Mark == mark })
	if next < 0 || len(all[next].tables) != tables {
		return Report{}, fmt.Errorf("generation %d: %w", mark.Generation, ErrNotPrepared)
	}
	began, err := c.transaction()
	if err != nil {
		return Report{}, err
	}
	touched, sure, err := k.touched(c, &all[next])
	if err != nil {
		return Report{}, err
	}
	if touched && !all[next].Awake {
		return Report{}, fmt.Errorf("generation %d was changed by somebody else since: %w", mark.Generation, ErrNotPrepared)
	}
	var wake, rest []netlink.Message
	from := uint64(0)
	for i := range all {
		for _, t := range all[i].tables {
			switch {
			case i == next && t.dormant:
				wake = append(wake, sleep(t, false))
			case i != next && !t.dormant:
				from = all[i].Mark.Generation
				rest = append(rest, sleep(t, true))
			}
		}
	}
	var r Report
	if from != 0 {
		if r, err = k.carry(c, from, mark.Generation, keep); err != nil {
			return r, err
		}
	}
	if err := c.batch(append(wake, rest...)); err != nil {
		return r, fmt.Errorf("nftables: commit generation %d: %w", mark.Generation, err)
	}
	if from != 0 {
		r, err = k.carry(c, from, mark.Generation, keep)
	}
	clear(k.carried)
	k.asleep, r.Sure = nil, sure
	if ended, err := c.transaction(); err == nil && ended == began+*c.made {
		r.began, r.ended = began, ended
	}
	return r, err
}

// Abort removes a generation that is asleep. One that is not there is removed already.
func (k *Kernel) Abort(_ context.Context, mark ruleset.Mark) error {
	c, err := dial(k.options.Namespace)
	if err != nil {
		return err
	}
	defer c.Close()
	all, err := k.state(c)
	if err != nil {
		return err
	}
	for _, l := range all {
		if l.Mark != mark {
			continue
		}
		if l.Awake {
			return fmt.Errorf("abort generation %d: %w", mark.Generation, ErrInForce)
		}
		var gone []netlink.Message
		for _, t := range l.tables {
			gone = append(gone, remove(t))
		}
		if err := c.batch(gone); err != nil {
			return fmt.Errorf("nftables: abort generation %d: %w", mark.Generation, err)
		}
	}
	clear(k.carried)
	return nil
}

// Unload removes all of the cluster's generations, the one in force too: nothing filters then.
func (k *Kernel) Unload(_ context.Context) error {
	c, err := dial(k.options.Namespace)
	if err != nil {
		return err
	}
	defer c.Close()
	all, err := k.state(c)
	if err != nil {
		return err
	}
	var gone []netlink.Message
	for _, l := range all {
		for _, t := range l.tables {
			gone = append(gone, remove(t))
		}
	}
	clear(k.carried)
	if err := c.batch(gone); err != nil {
		return fmt.Errorf("nftables: unload: %w", err)
	}
	return nil
}
