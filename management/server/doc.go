// SPDX-License-Identifier: Apache-2.0

// Package server is management's HTTP API: it knows who asks, what they may, how much and how often, turns requests into operations of
// management/records and management/coordinator, and every failure into an api.Error. What is refused to somebody who tries to change something,
// or who is not who they should be, is audited, as are all changes.
//
// It must not import the members' side, and of the store behind records it knows the errors only. What it says is management/api's; openapi.yaml there describes every
// route of this package, which a test compares.
package server
