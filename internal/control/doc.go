// SPDX-License-Identifier: Apache-2.0

// Package control is a member's local API: HTTP and JSON, versioned, over a unix socket that only its owner may use.
//
// It owns the wire types, the server, the bounded log of events, and the client that the operator's CLI and the laboratory use. The
// member itself is behind Backend. It must not import anything of the module: its types are neither the machine's nor the wire's,
// the node translates.
//
//	GET  /v1/state  interfaces  devices  vips  failovers  history  timers  why  counters  sync  sync/stats  load  load/defines
//	GET  /v1/policy  policy/history  policy/file?generation=N
//	GET  /v1/events[?since=SEQ][&run=ID][&follow=1]  newline-delimited JSON, one Event a line
//	POST /v1/failover            FailoverRequest   move the gateway
//	POST /v1/failover/reset      ResetRequest      forget counter and history
//	POST /v1/admin               AdminRequest      take this member out, or back
//	POST /v1/devices             DeviceRequest     register, report, unregister a critical device
//	POST /v1/devices/batch       DevicesRequest    several of these, all or none
//	POST /v1/freeze              FreezeRequest     stop voluntary moves, or allow them again
//	POST /v1/sync/verify         SyncVerifyRequest compare connection tables for real
//	POST /v1/load/weight         LoadWeightRequest change a member's weight until the next reload
//	POST /v1/load/which          WhichRequest      where would a packet go
//	POST /v1/policy/load         a policy file     put it into force
//	POST /v1/policy/fetch, /v1/policy/unload, /v1/policy/resume
//	POST /v1/sync/reset, /v1/reload, /v1/stop, /v1/restart
//
// docs/API.md is the reference for programs in other languages.
//
// Every failure is an Error as JSON: what was refused, why, and the way out.
package control
