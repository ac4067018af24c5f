// SPDX-License-Identifier: Apache-2.0

// Package registry knows which laboratories run on this host, and removes what those left that were killed.
//
// A laboratory leaves nothing in the kernel (its namespaces and processes end with it), but it has a directory in /run, with
// sockets, logs and a record of the process that it belongs to. A record whose process is gone is a leftover.
//
// It must not import any other package of the laboratory.
package registry
