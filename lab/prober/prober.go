// SPDX-License-Identifier: Apache-2.0

package prober

import (
	"context"
	"time"
)

// Prober is a running prober. Its methods are safe for concurrent use.
type Prober struct{}

// Start begins to ask. It runs until Stop or until ctx ends; Stop must be called in any case.
func Start(ctx context.Context, cfg Config) (*Prober, error) { return &Prober{}, ctx.Err() }

// Window judges the probes sent from from until to.
func (p *Prober) Window(from, to time.Time) Report { return Report{} }

// Server returns the member that answered last for any address and when; empty when nobody has.
func (p *Prober) Server() (member string, at time.Time) { return "", time.Time{} }

// Answers returns all answers to probes sent from from until to, in order of time.
func (p *Prober) Answers(from, to time.Time) []Answer { return nil }

// Announcements returns what was announced from from until to.
func (p *Prober) Announcements(from, to time.Time) []Announcement { return nil }

// Stop ends the asking, waits for late answers, and returns the report of the whole run.
func (p *Prober) Stop() (Report, error) { return Report{}, nil }

// Watch looks for packets that two members forward. Its methods are safe for concurrent use.
type Watch struct{}

// StartWatch begins to look. It runs until Stop or until ctx ends; Stop must be called in any case.
func StartWatch(ctx context.Context, cfg ForwardConfig) (*Watch, error) { return &Watch{}, ctx.Err() }

// Window tells what was forwarded from from until to.
func (w *Watch) Window(from, to time.Time) ForwardReport { return ForwardReport{} }

// Stop ends the looking and returns the report of the whole run.
func (w *Watch) Stop() (ForwardReport, error) { return ForwardReport{}, nil }
