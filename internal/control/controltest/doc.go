// SPDX-License-Identifier: Apache-2.0

// Package controltest is a member for tests of what talks to the control API: a backend with fixed answers, served on a real socket.
// Only tests import it.
package controltest
