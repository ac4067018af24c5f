// SPDX-License-Identifier: Apache-2.0

package control

import "context"

// Backend is the member behind the API. Every method is called from the server's goroutines, concurrently, with a context that ends
// with the request; a method that cannot get its answer in time returns the context's error. An error that is an *Error reaches the
// client as it is, any other one as code "internal".
type Backend interface {
	State(context.Context) (State, error)
	Interfaces(context.Context) (Interfaces, error)
	Devices(context.Context) (Devices, error)
	VIPs(context.Context) (VIPs, error)
	Failovers(context.Context) (Failovers, error)
	History(context.Context) (History, error)
	Timers(context.Context) (Timers, error)
	Why(context.Context) (Why, error)
	Counters(context.Context) (Counters, error)
	// Sync says how state synchronisation is, SyncStats counts what it does.
	Sync(context.Context) (Sync, error)
	SyncStats(context.Context) (SyncStats, error)
	// Load says how the load is shared, LoadDefines what rulesets are told of it, Which where a packet would go; in mode ha they are refused.
	Load(context.Context) (Load, error)
	LoadDefines(context.Context) (LoadDefines, error)
	Which(context.Context, WhichRequest) (Which, error)

	// Policy says which policy is in force, here and on the others; PolicyHistory what this member has; PolicyFile gives one of them. Without a
	// section policy they are refused, as everything about policies is.
	Policy(context.Context) (Policy, error)
	PolicyHistory(context.Context) (PolicyHistory, error)
	PolicyFile(ctx context.Context, generation uint64) ([]byte, error)

	// Failover starts a forced hand-over and returns when it is done or has been refused.
	Failover(context.Context, FailoverRequest) (Result, error)
	// ResetFailovers clears counter and/or history.
	ResetFailovers(context.Context, ResetRequest) (Result, error)
	// Admin takes this member out of service or back; down returns when the hand-over is done.
	Admin(context.Context, AdminRequest) (Result, error)
	// Device registers, reports or unregisters a critical device.
	Device(context.Context, DeviceRequest) (Result, error)
	// ManyDevices carries out all requests, or none if one of them cannot be.
	ManyDevices(context.Context, DevicesRequest) (Result, error)
	// Freeze stops voluntary moves in the cluster, or allows them again.
	Freeze(context.Context, FreezeRequest) (Result, error)
	// ResetSync sets the counters of state synchronisation to zero.
	ResetSync(context.Context) (Result, error)
	// VerifySync compares this member's connection table with that of one other member, or all, entry by entry.
	VerifySync(context.Context, SyncVerifyRequest) (SyncVerify, error)
	// LoadWeight changes a weight of load sharing until the next reload.
	LoadWeight(context.Context, LoadWeightRequest) (Result, error)
	// PolicyFetch asks the others and management for what is newer, and returns when it is in force, or there is nothing newer. PolicyUnload takes the
	// policy out of force until PolicyResume; PolicyLoad puts a signed policy into force here, from where the others take it.
	PolicyFetch(context.Context) (Result, error)
	PolicyUnload(context.Context) (Result, error)
	PolicyResume(context.Context) (Result, error)
	PolicyLoad(ctx context.Context, file []byte) (Result, error)
	// Reload reads cluster.yaml again and applies it if everything in it can change live.
	Reload(context.Context) (ReloadResult, error)
	// Stop leaves the cluster gracefully, removes the gate and ends the daemon.
	Stop(context.Context) (Result, error)
	// Restart ends the daemon and leaves the gate serving, for the service manager to start it again.
	Restart(context.Context) (Result, error)
}
