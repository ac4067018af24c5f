// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/holdfast-project/holdfast/lab/conversation"
	"github.com/holdfast-project/holdfast/lab/ruleset"
	"github.com/holdfast-project/holdfast/lab/topology"
)

// Of the streams through SNAT.
const (
	streams     = 20
	streamEvery = 10 * time.Millisecond
	// streamsFlow is what a stream may stand still that flows again, streamsWithin how long the slowest may need: TCP waits up to
	// twice as long as the path was gone.
	streamsFlow   = 500 * time.Millisecond
	streamsWithin = 40 * time.Second
)

// Of a power-off with a large table.
const (
	// powerPatience is how long the gateway may take to come to rest: a commit of a million entries takes ten seconds.
	powerPatience = 60 * time.Second
	// Margins of the window, as in lab/trial.
	marginBefore = 20 * time.Millisecond
	marginAfter  = 350 * time.Millisecond
)

// errMoved says that a system moved the gateway by itself before anything was done to it, as one with short timers does on a host that
// stands still for a moment. What followed would not be what the case measures.
var errMoved = errors.New("the gateway was moved before the power-off")

// powerOff measures the gap that the power-off of the serving member leaves in established traffic, UDP both ways in both families and
// TCP through SNAT, with n other connections in the table. Before it, the rules are closed to new connections: what is not known to
// the survivor does not pass.
func (sd *syncStand) powerOff(ctx context.Context, n, rate int) (_ Measure, err error) {
	group, err := conversation.Start(ctx, sd.streamConfigs())
	if err != nil {
		return Measure{}, err
	}
	defer func() { err = errors.Join(err, group.Stop()) }()
	if err := sd.filled(ctx, n, rate); err != nil {
		return Measure{}, err
	}
	for _, node := range sd.lab.OfKind(topology.Member) {
		if err := ruleset.Load(node.NS, closeNew); err != nil {
			return Measure{}, err
		}
	}
	server, err := sd.steady(ctx, bootWithin)
	if err != nil {
		return Measure{}, err
	}
	if server != sd.active.Name {
		return Measure{}, fmt.Errorf("%w: %s serves, %s did when its table was filled", errMoved, server, sd.active.Name)
	}
	if !group.Begun() {
		return Measure{}, errors.New("a stream through SNAT did not begin")
	}
	if err := wait(ctx, rand.N(spread)); err != nil {
		return Measure{}, err
	}
	if serving := sd.stage.System.Serving(ctx); !slices.Equal(serving, []string{server}) {
		return Measure{}, fmt.Errorf("%w: %v say that they serve, %s did", errMoved, serving, server)
	}
	at := time.Now()
	if err := sd.stage.System.PowerOff(sd.active.Name); err != nil {
		return Measure{}, err
	}
	m := Measure{Values: map[string]float64{}}
	if _, err := sd.steady(ctx, powerPatience); err != nil {
		if ctx.Err() != nil {
			return m, err
		}
		m.Note = err.Error()
	}
	to := time.Now()
	if err := wait(ctx, marginAfter); err != nil {
		return m, err
	}
	w := sd.stage.Observer.Window(at.Add(-marginBefore), to)
	gap, _ := w.Gap()
	m.Values["gap_ms"], m.Values["lost"] = ms(gap), float64(w.Lost())
	return m, sd.streamsAgain(ctx, group, at, m.Values)
}

// steady waits for at most d until one member serves and all traffic has passed for 300 ms.
func (sd *syncStand) steady(ctx context.Context, d time.Duration) (string, error) {
	patient, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	return sd.stage.Observer.Steady(patient, 300*time.Millisecond)
}

// streamConfigs are interactive TCP conversations from the server to the client: from inside to outside.
func (sd *syncStand) streamConfigs() []conversation.Config {
	var out []conversation.Config
	for i := range streams {
		out = append(out, conversation.Config{
			Name: fmt.Sprintf("stream %d", i+1), Kind: conversation.SSH, Every: streamEvery,
			Client: sd.lab.OfKind(topology.Server)[0], Server: sd.lab.OfKind(topology.Client)[0],
		})
	}
	return out
}

// streamsAgain waits until all streams flow again, and takes the longest time that one stood still.
func (sd *syncStand) streamsAgain(ctx context.Context, group *conversation.Group, at time.Time, values map[string]float64) error {
	for end := time.Now().Add(streamsWithin); ; {
		now := time.Now()
		flow := true
		for _, r := range group.Window(now.Add(-streamsFlow), now) {
			flow = flow && (r.Gap < streamsFlow || r.Broken)
		}
		if flow || now.After(end) {
			break
		}
		if err := wait(ctx, countEvery); err != nil {
			return err
		}
	}
	longest, dead := time.Duration(0), 0
	for _, r := range group.Window(at.Add(-marginBefore), time.Now()) {
		if r.Alive {
			longest = max(longest, r.Gap)
		} else {
			dead++
		}
	}
	values["tcp_gap_ms"], values["tcp_dead"] = ms(longest), float64(dead)
	return nil
}
