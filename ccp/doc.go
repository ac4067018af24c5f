// SPDX-License-Identifier: Apache-2.0

// Package ccp is the codec of the Cluster Control Protocol: frames, tags, sealing, replay windows, key rotation.
//
// It is pure: standard library only, no socket, no clock, no randomness of its own, no goroutine. It must not import any other
// package of this module.
package ccp
