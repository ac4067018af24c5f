// SPDX-License-Identifier: Apache-2.0

package controltest

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-project/holdfast/internal/control"
)

// Backend answers with what its fields hold and records what it is asked to do. The zero value answers with nothing.
type Backend struct {
	StateV      control.State
	InterfacesV control.Interfaces
	DevicesV    control.Devices
	VIPsV       control.VIPs
	FailoversV  control.Failovers
	HistoryV    control.History
	TimersV     control.Timers
	WhyV        control.Why
	CountersV   control.Counters
	ReloadV     control.ReloadResult
	SyncV       control.Sync
	SyncStatsV  control.SyncStats
	SyncVerifyV control.SyncVerify
	LoadV       control.Load
	DefinesV    control.LoadDefines
	WhichV      control.Which
	PolicyV     control.Policy
	GensV       control.PolicyHistory
	PolicyFiles map[uint64][]byte // by generation
	Err         error             // if set, the answer to everything

	mu       sync.Mutex
	requests []string
}

var _ control.Backend = (*Backend)(nil)

// Requests returns what was asked of the backend, in order, each as its name and arguments.
func (b *Backend) Requests() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]string(nil), b.requests...)
}

func (b *Backend) did(format string, args ...any) (control.Result, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.requests = append(b.requests, fmt.Sprintf(format, args...))
	return control.Result{Done: "done: " + b.requests[len(b.requests)-1]}, b.Err
}

// State implements control.Backend.
func (b *Backend) State(context.Context) (control.State, error) { return b.StateV, b.Err }

// Interfaces implements control.Backend.
func (b *Backend) Interfaces(context.Context) (control.Interfaces, error) {
	return b.InterfacesV, b.Err
}

// Devices implements control.Backend.
func (b *Backend) Devices(context.Context) (control.Devices, error) { return b.DevicesV, b.Err }

// VIPs implements control.Backend.
func (b *Backend) VIPs(context.Context) (control.VIPs, error) { return b.VIPsV, b.Err }

// Failovers implements control.Backend.
func (b *Backend) Failovers(context.Context) (control.Failovers, error) { return b.FailoversV, b.Err }

// History implements control.Backend.
func (b *Backend) History(context.Context) (control.History, error) { return b.HistoryV, b.Err }

// Timers implements control.Backend.
func (b *Backend) Timers(context.Context) (control.Timers, error) { return b.TimersV, b.Err }

// Why implements control.Backend.
func (b *Backend) Why(context.Context) (control.Why, error) { return b.WhyV, b.Err }

// Counters implements control.Backend.
func (b *Backend) Counters(context.Context) (control.Counters, error) { return b.CountersV, b.Err }

// Sync implements control.Backend.
func (b *Backend) Sync(context.Context) (control.Sync, error) { return b.SyncV, b.Err }

// SyncStats implements control.Backend.
func (b *Backend) SyncStats(context.Context) (control.SyncStats, error) { return b.SyncStatsV, b.Err }

// Load implements control.Backend.
func (b *Backend) Load(context.Context) (control.Load, error) { return b.LoadV, b.Err }

// LoadDefines implements control.Backend.
func (b *Backend) LoadDefines(context.Context) (control.LoadDefines, error) {
	return b.DefinesV, b.Err
}

// LoadWeight implements control.Backend.
func (b *Backend) LoadWeight(_ context.Context, r control.LoadWeightRequest) (control.Result, error) {
	return b.did("load weight %s %d reset %t", r.Member, r.Weight, r.Reset)
}

// Which implements control.Backend.
func (b *Backend) Which(_ context.Context, r control.WhichRequest) (control.Which, error) {
	_, err := b.did("which %s %s %d -> %s %d spi %d", r.Protocol, r.Source, r.SourcePort, r.Destination, r.DestinationPort, r.SPI)
	return b.WhichV, err
}

// Policy implements control.Backend.
func (b *Backend) Policy(context.Context) (control.Policy, error) { return b.PolicyV, b.Err }

// PolicyHistory implements control.Backend.
func (b *Backend) PolicyHistory(context.Context) (control.PolicyHistory, error) {
	return b.GensV, b.Err
}

// PolicyFile implements control.Backend.
func (b *Backend) PolicyFile(_ context.Context, generation uint64) ([]byte, error) {
	if f, ok := b.PolicyFiles[generation]; ok || b.Err != nil {
		return f, b.Err
	}
	return nil, control.NotFound(fmt.Sprintf("there is no generation %d here", generation), "holdfast policy history lists those that are")
}

// PolicyFetch implements control.Backend.
func (b *Backend) PolicyFetch(context.Context) (control.Result, error) { return b.did("policy fetch") }

// PolicyUnload implements control.Backend.
func (b *Backend) PolicyUnload(context.Context) (control.Result, error) {
	return b.did("policy unload")
}

// PolicyResume implements control.Backend.
func (b *Backend) PolicyResume(context.Context) (control.Result, error) {
	return b.did("policy resume")
}

// PolicyLoad implements control.Backend.
func (b *Backend) PolicyLoad(_ context.Context, file []byte) (control.Result, error) {
	return b.did("policy load %d bytes", len(file))
}

// ResetSync implements control.Backend.
func (b *Backend) ResetSync(context.Context) (control.Result, error) { return b.did("sync reset") }

// VerifySync implements control.Backend.
func (b *Backend) VerifySync(_ context.Context, r control.SyncVerifyRequest) (control.SyncVerify, error) {
	_, err := b.did("sync verify %s", r.Member)
	return b.SyncVerifyV, err
}

// Failover implements control.Backend.
func (b *Backend) Failover(_ context.Context, r control.FailoverRequest) (control.Result, error) {
	return b.did("failover to %s for %s", r.To, time.Duration(r.For))
}

// ResetFailovers implements control.Backend.
func (b *Backend) ResetFailovers(_ context.Context, r control.ResetRequest) (control.Result, error) {
	return b.did("reset counter %t history %t", r.Counter, r.History)
}

// Admin implements control.Backend.
func (b *Backend) Admin(_ context.Context, r control.AdminRequest) (control.Result, error) {
	return b.did("admin up %t permanent %t", r.Up, r.Permanent)
}

// Device implements control.Backend.
func (b *Backend) Device(_ context.Context, r control.DeviceRequest) (control.Result, error) {
	return b.did("device %s %s %s timeout %s persistent %t: %s", r.Action, r.Name, r.Status, time.Duration(r.Timeout), r.Persistent, r.Reason)
}

// ManyDevices implements control.Backend.
func (b *Backend) ManyDevices(ctx context.Context, r control.DevicesRequest) (res control.Result, err error) {
	for _, q := range r.Requests {
		if res, err = b.Device(ctx, q); err != nil {
			return res, err
		}
	}
	return res, nil
}

// Freeze implements control.Backend.
func (b *Backend) Freeze(_ context.Context, r control.FreezeRequest) (control.Result, error) {
	return b.did("freeze %t for %s", r.Frozen, time.Duration(r.For))
}

// Reload implements control.Backend.
func (b *Backend) Reload(context.Context) (control.ReloadResult, error) {
	_, err := b.did("reload")
	return b.ReloadV, err
}

// Stop implements control.Backend.
func (b *Backend) Stop(context.Context) (control.Result, error) { return b.did("stop") }

// Restart implements control.Backend.
func (b *Backend) Restart(context.Context) (control.Result, error) { return b.did("restart") }

// Serve answers for b on a socket in a directory of the test's own until the test ends, and returns the socket's path and the log of
// events behind it.
func Serve(tb testing.TB, b control.Backend) (socket string, events *control.Events) {
	tb.Helper()
	socket, events = filepath.Join(tb.TempDir(), "s"), control.NewEvents(16)
	l, err := control.Listen(tb.Context(), socket)
	if err != nil {
		tb.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- (&control.Server{Backend: b, Events: events, Version: "test"}).ServeListener(ctx, l)
	}()
	tb.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			tb.Errorf("control server: %v", err)
		}
	})
	return socket, events
}
