// SPDX-License-Identifier: Apache-2.0

// Package prometheus runs a real Prometheus on a node of the laboratory, lets it scrape members, and asks it what it has found:
// the proof that the metrics are what Prometheus understands, not only what they are meant to be.
//
// It imports lab/tap (for Namespace) and nothing else of the laboratory.
package prometheus
