// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"errors"
	"fmt"

	"github.com/holdfast-project/holdfast/lab/hook"
	"github.com/holdfast-project/holdfast/lab/netns"
)

// Settings say what an end does.
type Settings struct {
	Server              bool   // else it is the client's end
	Answer              bool   // a server answers datagrams, SYN and FIN; else it only counts them
	Close               bool   // a client closes each TCP connection as soon as it is open
	FirstPort, LastPort uint16 // the server's ports, by which packets are recognised
}

// Counts are what came in at an end so far.
type Counts struct {
	Taken    uint64 // packets of the connections
	Answered uint64 // of a client's end: answers to datagrams and SYNs
	Closed   uint64 // of a client's end: answers to FINs
	Reset    uint64 // RSTs
}

// End is an end at an interface. It is safe for concurrent use.
type End struct {
	objects endObjects
	hooks   *hook.Attached
}

// Attach puts an end at the ingress of the interface of that index in ns; Close must be called.
func Attach(ns *netns.NS, index int, s Settings) (*End, error) {
	e := new(End)
	if err := loadEndObjects(&e.objects, nil); err != nil {
		return nil, fmt.Errorf("load the end of short connections: %w", err)
	}
	err := e.objects.Setting.Put(uint32(0), endSettings{
		FirstPort: s.FirstPort, LastPort: s.LastPort, Server: number(s.Server), Answer: number(s.Answer), Close: number(s.Close),
	})
	if err == nil {
		e.hooks, err = hook.Attach(ns, index, e.objects.EndIn, nil, hook.Best)
	}
	if err != nil {
		return nil, errors.Join(err, e.Close())
	}
	return e, nil
}

func number(b bool) uint8 {
	if b {
		return 1
	}
	return 0
}

// Counts returns what came in so far.
func (e *End) Counts() (Counts, error) {
	var c endCounts
	if err := e.objects.Count.Lookup(uint32(0), &c); err != nil {
		return Counts{}, fmt.Errorf("read the counts of an end: %w", err)
	}
	return Counts{c.Taken, c.Answered, c.Closed, c.Reset}, nil
}

// Close takes the end away.
func (e *End) Close() error {
	var err error
	if e.hooks != nil {
		err = e.hooks.Close()
	}
	return errors.Join(err, e.objects.Close())
}
