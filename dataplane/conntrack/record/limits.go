// SPDX-License-Identifier: Apache-2.0

package record

// CopyTimeout is the time-out, in seconds, that records give connections: 12 hours. A packet that refreshes the owner's entry raises no
// event, so a copy must not end by a time-out of its own; it ends by the owner's delete, or because a comparison finds it stale. After a
// takeover the new owner sets the protocols' time-outs.
const CopyTimeout = 12 * 60 * 60
