// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/holdfast-project/holdfast/lab/machine"
	"github.com/holdfast-project/holdfast/lab/prober"
	"github.com/holdfast-project/holdfast/lab/report"
	"github.com/holdfast-project/holdfast/lab/topology"
	"github.com/holdfast-project/holdfast/lab/trial"
)

// show is what a person sees.
type show struct {
	live  *report.Live
	style report.Style
	stage *trial.Stage

	drawing sync.WaitGroup
	still   context.CancelFunc // ends the drawing; nil before it has begun

	mu sync.Mutex
	// fault is when the present fault began: times are given from there.
	fault time.Time
}

// Measures of the display.
const (
	drawEvery   = 100 * time.Millisecond
	liveCell    = 20 * time.Millisecond // of the status line
	liveCells   = 30                    // at most: as many as there is room for
	liveLag     = 40 * time.Millisecond // what is newer may not have been read yet
	chartBefore = 10                    // cells before the fault
	chartCells  = 54                    // fits, with its labels, into 80 columns
	chartCell   = 10 * time.Millisecond // at least
)

// introduce says what is on the stage.
func (s *show) introduce(lab *topology.Lab) {
	var b strings.Builder
	fmt.Fprintf(&b, `Three networks, %d members, one gateway.
1000 numbered packets a second go each way, by IPv4 and by IPv6. Every 10 ms
somebody asks who has the gateway's addresses:
`, lab.Spec.Members)
	for i, segment := range lab.Spec.Segments {
		if vips := lab.Spec.Net(i).VIPs; len(vips) > 0 {
			fmt.Fprintf(&b, "on %-4s %s.\n", segment.Name, list(vips))
		}
	}
	b.WriteString(`
In the charts | is the fault. Packets: # arrive, + fewer than half of them do,
. none does. Addresses: 1, 2, ... is the member that answers, . nobody does,
! two do at once.
`)
	s.live.Print(b.String())
}

func list(addrs []netip.Addr) string {
	var out []string
	for _, a := range addrs {
		out = append(out, a.String())
	}
	return strings.Join(out, " and ")
}

// begin shows what is about to happen.
func (s *show) begin(title string) {
	s.mu.Lock()
	s.fault = time.Now()
	s.mu.Unlock()
	s.live.Print("\n" + s.style.Title(title))
}

// changed shows a member's change of state.
func (s *show) changed(c machine.Change) {
	s.mu.Lock()
	fault := s.fault
	s.mu.Unlock()
	text := c.To
	if c.From != "" {
		text = c.From + " -> " + c.To
	}
	if c.Reason != "" {
		text += " (" + c.Reason + ")"
	}
	e := report.Event{At: c.At, Kind: report.State, Subject: c.Member, Text: text}
	if fault.IsZero() {
		s.live.Event(e) // booting
		return
	}
	s.live.Print(s.style.Line(e, fault))
}

// outcome shows a fault's chart and figures.
func (s *show) outcome(o trial.Outcome) {
	gap, flow := o.Window.Gap()
	var chart strings.Builder
	_ = s.chart(o, gap).Write(&chart, s.style) // a Builder takes everything
	s.live.Print(chart.String())
	sent, _, lost, _, _ := o.Window.Traffic.Totals()
	text := fmt.Sprintf("  longest gap %s (%s), %d of %d packets lost", report.Ms(gap), flow, lost, sent)
	if o.After != o.Before && o.After != "" {
		text += fmt.Sprintf(", %s serves", o.After)
	}
	if o.Two() {
		text += fmt.Sprintf("; TWO AT ONCE: %d probes, %d packets", o.Contested(), o.Twice())
	}
	if o.Unsettled != "" {
		text += "; not at rest: " + o.Unsettled
	}
	s.live.Print(text)
	s.evidence(o)
}

// maxEvidence bounds the answers that are shown of one episode.
const maxEvidence = 6

// evidence shows the answers of two members at once.
func (s *show) evidence(o trial.Outcome) {
	probes := s.stage.Observer.Probers()
	for i, rep := range append(slices.Clone(o.Window.Probes), o.Aftermath.Probes...) {
		for _, e := range rep.Episodes {
			answers := probes[i%len(probes)].Answers(e.From, e.To.Add(time.Nanosecond))
			answers = slices.DeleteFunc(answers, func(a prober.Answer) bool { return a.VIP != e.VIP })
			for _, a := range answers[:min(len(answers), maxEvidence)] {
				s.live.Print(fmt.Sprintf("    %+9.3f ms  %s answers for %s on %s: from %s, claims %s (asked %.3f ms before)",
					ms(a.At.Sub(o.At)), a.Member, a.VIP, rep.Segment, net.HardwareAddr(a.MAC[:]), net.HardwareAddr(a.Claimed[:]), ms(a.At.Sub(a.Sent))))
			}
		}
	}
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// chart draws the flows and the answers around the fault; its cells are longer when the gap is.
func (s *show) chart(o trial.Outcome, gap time.Duration) report.Chart {
	cell := max(chartCell, (gap * 2 / (chartCells - chartBefore)).Round(chartCell))
	at := o.At
	if len(o.Window.Traffic.Flows) > 0 && gap > chartCell {
		// The longest gap may be far from the harm (a SIGCONT, a boot): show where it is.
		if g, _ := o.Window.Traffic.Longest(); g.From.After(at.Add(time.Duration(chartCells-chartBefore) * cell)) {
			at = g.From
		}
	}
	c := report.Chart{At: at, From: at.Add(-chartBefore * cell), Cell: cell}
	for i, name := range s.stage.Observer.Traffic().Flows() {
		c.Rows = append(c.Rows, report.Strip{Label: name, Cells: s.flow(i, c.From, cell, chartCells)})
	}
	for _, p := range s.stage.Observer.Probers() {
		for _, vip := range p.VIPs() {
			c.Rows = append(c.Rows, report.Strip{Label: vip.String() + " is at", Cells: carry(p.Strip(vip, c.From, cell, chartCells))})
		}
	}
	return c
}

// carry fills the cells in which nobody happened to ask with the answer before them.
func carry(cells string) string {
	out := []byte(cells)
	for i := 1; i < len(out); i++ {
		if out[i] == prober.CellNotAsked {
			out[i] = out[i-1]
		}
	}
	return string(out)
}

// flow draws a flow: '#' where packets arrive, '+' where fewer than half do, '.' where none does, ' ' where none was sent.
func (s *show) flow(i int, from time.Time, cell time.Duration, n int) string {
	var b strings.Builder
	t := s.stage.Observer.Traffic()
	sent := t.Sends(i, from, cell, n)
	for j, count := range t.Arrivals(i, from, cell, n) {
		switch {
		case count == 0 && sent[j] == 0:
			b.WriteByte(' ')
		case count == 0:
			b.WriteByte('.')
		case count < sent[j]/2:
			b.WriteByte('+')
		default:
			b.WriteByte('#')
		}
	}
	return b.String()
}

// keepDrawing begins to draw, until rest or the end of ctx.
func (s *show) keepDrawing(ctx context.Context) {
	ctx, s.still = context.WithCancel(ctx)
	s.drawing.Go(func() { s.draw(ctx) })
}

// rest ends the drawing and takes the status line away: what is printed next begins a line.
func (s *show) rest() {
	if s.still != nil {
		s.still()
	}
	s.drawing.Wait()
	s.live.Status("")
}

// draw renews the status line until ctx ends.
func (s *show) draw(ctx context.Context) {
	ticker := time.NewTicker(drawEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			s.live.Status(s.status())
		}
	}
}

// status is who is what, the first flow, and who answers on each segment.
func (s *show) status() string {
	var b, answers strings.Builder
	states := s.stage.States()
	for _, m := range s.stage.Members() {
		state := states[m]
		if state == "" {
			state = "-"
		}
		fmt.Fprintf(&b, "%s %-8s ", m, state)
	}
	for _, p := range s.stage.Observer.Probers() {
		if m, _ := p.Server(); m != "" {
			fmt.Fprintf(&answers, " | %s: %s", p.Segment(), m)
		}
	}
	const around = len("| > ") + 1 // and a column that stays free
	if cells := min(liveCells, s.style.Width()-b.Len()-answers.Len()-around); cells > 0 {
		from := time.Now().Add(-liveLag - time.Duration(cells)*liveCell)
		fmt.Fprintf(&b, "| > %s", s.flow(0, from, liveCell, cells))
	}
	return strings.TrimRight(b.String()+answers.String(), " ")
}
