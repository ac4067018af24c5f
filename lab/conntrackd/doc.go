// SPDX-License-Identifier: Apache-2.0

// Package conntrackd owns the rival in state synchronisation: Debian's conntrackd in its reliable mode (FTFW) on each member, with
// keepalived (lab/keepalived), whose state changes run the script that conntrack-tools ships for the purpose: commit, flush, resync
// and bulk send on the new primary; timers and a request for everything on a backup.
//
// It is set up as well as it can be: tables for millions of entries, large buffers, no checksums on the dedicated link,
// filtering in the kernel, real-time scheduling. With Options.Direct it puts what it learns straight into the kernel
// (DisableExternalCache), which its manual advises against, and has nothing to commit. With Options.Share both members serve, and a program of the caller's takes the script's place.
//
// FTFW knows two nodes. It must not import the faults, scenarios or other systems.
package conntrackd
