// SPDX-License-Identifier: Apache-2.0

// Package fleet is many clusters of members that have nothing but their way to management: each is internal/manager with a certificate and
// connections of its own, and a plane that does at once what it is ordered. With it one measures what a management server bears.
//
// It must not import scenarios.
package fleet
