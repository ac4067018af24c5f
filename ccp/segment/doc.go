// SPDX-License-Identifier: Apache-2.0

// Package segment owns the raw Ethernet sockets that CCP frames travel through: one AF_PACKET socket per interface and class of
// frames, with a filter that is in place before the first packet can arrive.
//
// It moves bytes and understands nothing of them but the two that its filter looks at: what a frame says is package ccp's. It
// must not import the pure packages' users (internal/...), nor keep a goroutine.
package segment
