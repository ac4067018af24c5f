// SPDX-License-Identifier: Apache-2.0

// Package build holds what the linker knows about this binary.
package build

// Version is the version of the sources, set by the linker (see the Makefile).
var Version = "unknown"
