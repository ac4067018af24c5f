// SPDX-License-Identifier: Apache-2.0

// Package transfer brings a policy from a member that has it to one that has not, over frames that get lost, overtake each other and come
// twice. An Asker pulls: it asks one source at a time for the head, and once that is verified for the pieces that it names; each piece is
// checked alone, so what came from one source stays good when the next one is asked. An Answerer gives, no more than was asked for and no
// more a second than it was told to: it remembers nothing of who asks but that.
//
// Both are pure: time is an argument in ns, the frames are whoever performs the effects' to send. Package ccp has them on the wire (type
// POLICY); a frame holds the wants of one Send, or one Data.
//
// # Loss
//
// All is asked for in units of Frame bytes. A unit that does not come within the time-out is asked for again: the time-out follows the round
// trips that were measured, and doubles for a unit that was asked for before. How many units are under way grows with each that
// comes, up to Window, and is halved when one is lost.
//
// # Sources
//
// A source is given up when it says that it has no such policy (ErrNone), when nothing new came for Patience (ErrSilent), when it is slower than
// MinRate over the time (ErrSlow), and when what it sent is not what was offered (ErrForged): then nothing that it sent and that was not
// verified yet is kept.
//
// The package imports policy only.
package transfer
