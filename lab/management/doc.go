// SPDX-License-Identifier: Apache-2.0

// Package management owns Holdfast's management in the laboratory: holdfast-mgmt on the management nodes of a topology, its store (a file,
// or etcd for several servers), the cluster in it, and the members' enrolment. What an operator would type is typed: every order goes
// through the commands holdfast-mgmt and holdfast.
//
// It must not import scenarios.
package management
