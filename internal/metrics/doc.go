// SPDX-License-Identifier: Apache-2.0

// Package metrics is a member's Prometheus endpoint: a registry of its own, the names of all series, and typed setters that the
// node calls. It must not import any other package of the module.
package metrics
