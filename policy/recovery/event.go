// SPDX-License-Identifier: Apache-2.0

package recovery

import (
	"github.com/holdfast-project/holdfast/policy"
)

// Event is what happens. The set of events is closed.
type Event interface{ event() }

type (
	// Peer says what a peer has in force: at each HELLO, or when it changes.
	Peer struct {
		Name   string
		Active bool
		Has    policy.Offer // None: no policy
	}
	// PeerGone says that the peer is not heard any more.
	PeerGone struct{ Name string }
	// Answered says what management has for this cluster. It may come unasked: a member that runs takes what is newer than what it has.
	Answered struct{ Has policy.Offer }
	// Unreachable says that management was asked and did not answer, or cannot be.
	Unreachable struct{ Why string }
	// Fetched says that what Fetch asked for has been verified and is on the local disk.
	Fetched struct{ What policy.Offer }
	// Failed says that it did not come. Forged: what came was not what was offered.
	Failed struct {
		Source string
		What   policy.Offer
		Why    string
		Forged bool
	}
	// InForce says that the policy that Use named, or that an install brought, is in force.
	InForce struct{ What policy.Offer }
	// NotInForce says that it could not be put into force.
	NotInForce struct {
		What policy.Offer
		Why  string
	}
	// Unloaded says that an operator took the policy out of force. Nothing is put into force before Resume.
	Unloaded struct{}
	// Resume ends Unloaded.
	Resume struct{}
	// Declined says what this member went back from, all of it, each time that it changes. Local is the newest policy of the disk, as New wants
	// it, that is none of these, and InForce what is in force now.
	Declined struct {
		All            []policy.Digest
		Local, InForce policy.Offer
	}
	// Tick says that the time that WakeAt named has come.
	Tick struct{}
)

func (Peer) event()        {}
func (PeerGone) event()    {}
func (Answered) event()    {}
func (Unreachable) event() {}
func (Fetched) event()     {}
func (Failed) event()      {}
func (InForce) event()     {}
func (NotInForce) event()  {}
func (Unloaded) event()    {}
func (Resume) event()      {}
func (Declined) event()    {}
func (Tick) event()        {}

// Effect is what is to be done, in order. The set of effects is closed.
type Effect interface{ effect() }

type (
	// Ask management what it has; answer with Answered or Unreachable.
	Ask struct{}
	// Fetch a policy from What.Source, a peer or management; answer with Fetched or Failed.
	Fetch struct{ What policy.Offer }
	// Use puts a policy of the local disk into force; answer with InForce or NotInForce.
	Use struct{ What policy.Offer }
	// Problem is the state of the critical device "policy"; "" is ok. Pending: what will be known soon, or is being done, ends it perhaps.
	Problem struct {
		Reason  string
		Pending bool
	}
	// WakeAt asks for a Tick at a time, in place of an earlier one.
	WakeAt struct{ Time int64 }
)

func (Ask) effect()     {}
func (Fetch) effect()   {}
func (Use) effect()     {}
func (Problem) effect() {}
func (WakeAt) effect()  {}
