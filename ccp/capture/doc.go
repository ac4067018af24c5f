// SPDX-License-Identifier: Apache-2.0

// Package capture makes CCP a layer of gopacket, for tests that look at captures. With a cluster key it opens sealed frames.
//
// It must not be imported by production code: decoding here allocates, and opening checks no replay window.
package capture
