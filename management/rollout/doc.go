// SPDX-License-Identifier: Apache-2.0

// Package rollout is management's part in the install of one policy on one cluster: Machine takes what members report, what people want and the
// time, and returns what is to be written down and whom to tell. The members' part is policy/install.
//
// # The decisions
//
// An attempt (management.Attempt) is being prepared, then aborted or committed; what is committed is then confirmed or rolled back:
//
//	preparing -> aborted
//	          -> committed -> confirmed
//	                       -> rolled-back
//
// Each is written down before anybody is told of it (Persist), and only if it may follow what is there: of two servers that run the same attempt
// one wins, and the other goes on with what the first one decided. What a member is to do follows from what is stored and nothing else
// (OrderOf), so that every server can answer every member.
//
//   - Committed is decided when all members have prepared; aborted, when one refuses, or has not answered in time. With best effort those
//     that refuse or do not answer are left behind, and committed is decided if at least one has prepared.
//   - What one member has loaded needs no other trial, for all that load the same. What none of them can load, or does not answer for (with best effort: in half of
//     the time), management loads itself, where nothing was checked before: it has a vote, and may refuse for all. See decision 021.
//   - Confirmed is decided when every member that had prepared says that it has committed, and Config.Settle later still reports and hears the
//     peers that it heard before: then the policy does not cut members off, neither from each other nor from management. If a person
//     is to confirm, that comes on top.
//   - Rolled back is decided when one member rolled back by itself, when somebody cancels, or when the time for confirmation has passed. Members
//     roll back by themselves a little later (Config.Grace), so that a confirmation in the last moment arrives.
//   - A server that takes over an attempt that is not decided aborts it: it does not know who has prepared. One that is decided goes on, and is not
//     confirmed just when members may be going back by themselves.
//
// The package is pure: no clock, no socket, no goroutine. Time is nanoseconds since 1970, since records outlive a server. It
// imports management and policy only.
package rollout
