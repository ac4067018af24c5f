// SPDX-License-Identifier: Apache-2.0

// Package management is what the management server keeps and speaks about: clusters and their members, generations of policies, attempts to
// install them, the people and machines that may do what, and the events that are audited. The types are those that rest in the store and
// that the API shows, in JSON.
//
// Times are nanoseconds since 1970, UTC, by management's clock; 0 is never. They are for people, and for what expires: no order is made by
// them.
//
// The package is pure and imports policy only: no clock, no file, no socket; randomness is an argument.
package management
