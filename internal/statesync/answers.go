// SPDX-License-Identifier: Apache-2.0

package statesync

import (
	"log/slog"

	"github.com/holdfast-project/holdfast/dataplane/conntrack/record"
)

// Notes are a gate's, of how the answers of translated connections come in that it cannot look up: see docs/decisions/023-answers-are-noted.md.
// The tuples are those that record.Answers returns. Methods are called under the plane's lock, but for Noted, and must not wait.
type Notes interface {
	// Note has answers go to the taker of a slot; here: their connection has begun at this member. What was noted of them before is replaced.
	Note(answer record.Tuple, slot uint16, here bool) error
	// Forget takes a note away, if there is one.
	Forget(answer record.Tuple) error
	// Noted returns all of them, those included that were made before this plane's time.
	Noted() ([]record.Tuple, error)
}

// answers are the notes that this member's gate has, by how the answers come in. The plane's lock guards them, and nobody else writes to the gate's.
type answers struct {
	notes  Notes // nil: none are wanted
	noted  map[record.Tuple]noted
	turn   uint64                    // of reading the own table
	ended  map[record.Tuple]struct{} // since the reading that is under way began; nil if none is
	adopts bool                      // the gate may have notes of a plane before this one
	short  string                    // why the newest note was not taken, empty if it was
	missed uint64                    // notes that were not taken
	log    *slog.Logger
}

// noted is a note.
type noted struct {
	original record.Tuple
	here     bool
	turn     uint64 // in which it was made, or its connection read
}

// begin has notes kept from now on.
func (a *answers) begin(n Notes, log *slog.Logger) {
	if a.notes == nil && n != nil {
		a.notes, a.noted, a.adopts, a.log = n, map[record.Tuple]noted{}, true, log
	}
}

// told notes what the gate said to a note, and returns whether it took it.
func (a *answers) told(err error) bool {
	if err == nil {
		a.short = ""
		return true
	}
	if a.short == "" {
		a.log.Warn("answers of a translated connection are not noted: they may come to a member that does not know it", "error", err)
	}
	a.short = err.Error()
	a.missed++
	return false
}

// note takes down how the answers of a connection come in; slot is that of its original tuple.
func (a *answers) note(original, answer record.Tuple, slot uint16, here bool) {
	want := noted{original: original, here: here, turn: a.turn}
	delete(a.ended, answer)
	if is, there := a.noted[answer]; !there || is.original != original || is.here != here {
		if !a.told(a.notes.Note(answer, slot, here)) {
			return
		}
	}
	a.noted[answer] = want
}

// forget takes away the note of a connection, unless it is another one's by now.
func (a *answers) forget(original, answer record.Tuple) {
	if a.ended != nil {
		a.ended[answer] = struct{}{}
	}
	if is, there := a.noted[answer]; there && is.original == original {
		a.drop(answer)
	}
}

func (a *answers) drop(answer record.Tuple) {
	a.told(a.notes.Forget(answer))
	delete(a.noted, answer)
}

// resort gives all notes the slots that of returns.
func (a *answers) resort(of func(record.Tuple) uint16) {
	for answer, n := range a.noted {
		a.told(a.notes.Note(answer, of(n.original), n.here))
	}
}

// beginRead begins a turn of reading the own table.
func (a *answers) beginRead() {
	if a.notes != nil {
		a.turn++
		a.ended = map[record.Tuple]struct{}{}
	}
}

// read takes down a connection that the table has: what began here is known as such already, if it is.
func (a *answers) read(original, answer record.Tuple, slot uint16) {
	if _, over := a.ended[answer]; over {
		return
	}
	is := a.noted[answer]
	a.note(original, answer, slot, is.here && is.original == original)
}

// endRead ends the turn. If it was whole, notes of connections that the table does not have go.
func (a *answers) endRead(whole bool) {
	a.ended = nil
	if !whole {
		return
	}
	for answer, n := range a.noted {
		if n.turn != a.turn {
			a.drop(answer)
		}
	}
}

// stray takes away those of a gate's notes that nobody has made.
func (a *answers) stray(all []record.Tuple) {
	a.adopts = false
	for _, answer := range all {
		if _, there := a.noted[answer]; !there {
			a.told(a.notes.Forget(answer))
		}
	}
}

// answerBegan notes a connection that is in the own table, or about to be: here says that it has begun at this member.
func (p *Plane) answerBegan(r record.Record, here bool) {
	if original, answer, noted := record.Answers(r); noted {
		p.answers.note(original, answer, p.share.slots.Of(original), here)
	}
}

// answerEnded forgets one that is not any more.
func (p *Plane) answerEnded(r record.Record) {
	if p.answers.notes == nil {
		return
	}
	if original, answer, noted := record.Answers(r); noted {
		p.answers.forget(original, answer)
	}
}

// answerEvent takes an event of the own kernel about a connection that gates cannot look up.
func (p *Plane) answerEvent(r record.Record) {
	switch {
	case p.answers.notes == nil || r.Table != record.TableConnections:
	case r.Op == record.OpNew:
		p.answerBegan(r, true)
	case r.Op == record.OpDelete:
		p.answerEnded(r)
	}
}

// answerTold takes what another member says of such a connection, before it goes into the kernel's table, and says whether it may: an answer that came to
// a member before that had heard of its connection began one there, which would take the place of the real one.
func (p *Plane) answerTold(r record.Record) bool {
	if p.answers.notes == nil || r.Table != record.TableConnections || r.Op == record.OpDelete {
		return true
	}
	original, answer, noted := record.Answers(r)
	if of, is := p.answers.noted[original.AsPacket()]; is && original.Zone == 0 && of.original != original {
		p.stats.Mistaken++
		return false
	}
	if noted {
		p.answers.note(original, answer, p.share.slots.Of(original), false)
	}
	return true
}

// answersRead takes what a dump of the own table has found, if it is one for the notes.
func (p *Plane) answersRead(rs []record.Record) {
	if p.answers.ended == nil {
		return
	}
	for _, r := range rs {
		if original, answer, noted := record.Answers(r); noted {
			p.answers.read(original, answer, p.share.slots.Of(original))
		}
	}
}

// strayAnswers rids the gate of notes that a plane before this one has made, once the own table has been read.
func (p *Plane) strayAnswers() error {
	p.mu.Lock()
	notes, adopts := p.answers.notes, p.answers.adopts
	p.mu.Unlock()
	if !adopts {
		return nil
	}
	all, err := notes.Noted()
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.answers.stray(all)
	return nil
}
