// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// settleAcks is how long after the last record the two may still talk about it; that time is counted as theirs too.
const settleAcks = 300 * time.Millisecond

// replicate opens n connections as fast as the machine can, and measures what their replication takes, a commit included: as it would
// be at a takeover.
func (sd *syncStand) replicate(ctx context.Context, n int) (Measure, error) {
	if err := sd.quiet(); err != nil {
		return Measure{}, err
	}
	before, err := sd.held()
	if err != nil {
		return Measure{}, err
	}
	active, standby, err := sd.bothCPU()
	if err != nil {
		return Measure{}, err
	}
	type replicated struct {
		at  time.Time
		got int
		err error
	}
	counted := make(chan replicated, 1)
	began := time.Now()
	go func() {
		at, got, err := sd.await(ctx, before+n, sd.held)
		counted <- replicated{at, got, err}
	}()
	rate, err := sd.fill(ctx, n, 0)
	c := <-counted
	if err = errors.Join(err, c.err, wait(ctx, settleAcks)); err != nil {
		return Measure{}, err
	}
	active2, standby2, err := sd.bothCPU()
	if err != nil {
		return Measure{}, err
	}
	took, got := c.at.Sub(began), c.got-before
	m := Measure{Values: map[string]float64{
		"records_per_s": float64(got) / took.Seconds(), "opened_per_s": rate,
		"cpu_active_us_per_record": perRecord(active2-active, n), "cpu_backup_us_per_record": perRecord(standby2-standby, n),
		"cpu_commit_us_per_record": 0, "commit_s": 0,
	}}
	if got < n {
		m.Note = fmt.Sprintf("the standby got %d of %d", got, n)
	}
	if err := sd.commit(ctx, before+got, m.Values, n); err != nil {
		return Measure{}, err
	}
	m.Values["cpu_us_per_record"] = m.Values["cpu_active_us_per_record"] + m.Values["cpu_backup_us_per_record"] + m.Values["cpu_commit_us_per_record"]
	m.Values["rss_mb"], err = sd.memory()
	return m, err
}

// quiet ends the observation: its traffic is no part of what is measured.
func (sd *syncStand) quiet() error {
	_, err := sd.stage.Observer.Stop()
	return err
}

func (sd *syncStand) bothCPU() (active, standby time.Duration, err error) {
	active, err = sd.cpu(sd.active)
	if err == nil {
		standby, err = sd.cpu(sd.standby)
	}
	return active, standby, err
}

func perRecord(d time.Duration, n int) float64 {
	return float64(d) / float64(time.Microsecond) / float64(n)
}

// commit puts what the standby has in a cache into its kernel and adds what it cost; it does nothing where there is no cache.
func (sd *syncStand) commit(ctx context.Context, want int, values map[string]float64, n int) error {
	c, ok := sd.cached()
	if !ok {
		return nil
	}
	used, err := sd.cpu(sd.standby)
	if err != nil {
		return err
	}
	began := time.Now()
	if err := c.Commit(ctx, sd.standby.Name); err != nil {
		return err
	}
	at, got, err := sd.await(ctx, want, func() (int, error) { return entries(sd.standby) })
	if err != nil {
		return err
	}
	if got < want {
		return fmt.Errorf("%s has %d of %d connections in its table after the commit", sd.standby.Name, got, want)
	}
	used2, err := sd.cpu(sd.standby)
	values["commit_s"], values["cpu_commit_us_per_record"] = at.Sub(began).Seconds(), perRecord(used2-used, n)
	return err
}

// fullSync measures how long a member that boots needs until its kernel has all of n connections.
func (sd *syncStand) fullSync(ctx context.Context, n, rate int) (Measure, error) {
	if err := sd.quiet(); err != nil {
		return Measure{}, err
	}
	if err := sd.stage.System.PowerOff(sd.standby.Name); err != nil {
		return Measure{}, err
	}
	if _, err := sd.fill(ctx, n, rate); err != nil {
		return Measure{}, err
	}
	if err := wait(ctx, time.Second); err != nil { // whatever its events still cause
		return Measure{}, err
	}
	used, err := sd.cpu(sd.active)
	if err != nil {
		return Measure{}, err
	}
	began := time.Now()
	first, end, err := sd.join(ctx, n)
	if err != nil {
		return Measure{}, err
	}
	m := Measure{Values: map[string]float64{"commit_s": 0, "cpu_commit_us_per_record": 0}}
	if err := sd.commit(ctx, n, m.Values, n); err != nil {
		return Measure{}, err
	}
	end = end.Add(time.Duration(m.Values["commit_s"] * float64(time.Second)))
	if err := wait(ctx, settleAcks); err != nil {
		return Measure{}, err
	}
	active, standby, err := sd.bothCPU()
	if err != nil {
		return Measure{}, err
	}
	m.Values["seconds"], m.Values["transfer_s"] = end.Sub(began).Seconds(), end.Sub(first).Seconds()
	m.Values["cpu_active_us_per_record"], m.Values["cpu_backup_us_per_record"] = perRecord(active-used, n), perRecord(standby, n)
	m.Values["cpu_us_per_record"] = perRecord(active-used+standby, n)
	m.Values["rss_mb"], err = sd.memory()
	return m, err
}

// joinWithin bounds the time until a member that boots has got all connections.
const joinWithin = 2 * time.Minute

// join boots the standby and waits until it has n connections, in its kernel or in a cache. first is when it had the first thousandth
// of them.
func (sd *syncStand) join(ctx context.Context, n int) (first, end time.Time, err error) {
	ctx, cancel := context.WithTimeout(ctx, joinWithin)
	defer cancel()
	booted := make(chan error, 1)
	go func() {
		err := sd.stage.System.PowerOn(ctx, sd.standby.Name)
		if err == nil {
			err = sd.stage.Faults.Replug(sd.standby.Name)
		}
		booted <- err
	}()
	first, end, err = sd.arrival(ctx, n)
	if berr := <-booted; berr != nil {
		return first, end, errors.Join(berr, err)
	}
	if err != nil {
		return first, end, err
	}
	return first, end, prepareMember(sd.standby)
}

// arrival waits until the standby, which boots, has its first and then all of n connections.
func (sd *syncStand) arrival(ctx context.Context, n int) (first, end time.Time, err error) {
	m, err := sd.stage.System.Machine(sd.standby.Name)
	if err != nil {
		return first, end, err
	}
	for first.IsZero() {
		if m.Booted() { // before that it has no kernel to ask
			// Its software may not answer yet.
			if got, err := sd.held(); err == nil && got >= max(1, n/1000) {
				first = time.Now()
			}
		}
		if err := wait(ctx, countEvery/4); err != nil {
			return first, end, fmt.Errorf("%s knows nothing of %d connections: %w", sd.standby.Name, n, err)
		}
	}
	end, got, err := sd.await(ctx, n, sd.held)
	if err == nil && got < n {
		err = fmt.Errorf("%s knows %d of %d connections", sd.standby.Name, got, n)
	}
	return first, end, err
}
