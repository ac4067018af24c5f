// SPDX-License-Identifier: Apache-2.0

// Command holdfast-mgmt is the management server of Holdfast clusters, and the command with which people use it: docs/MANAGEMENT.md.
//
// init, serve and restore work on a server's own data; all other commands talk to a server, with a profile: a directory with a person's
// certificate, key and token.
package main
