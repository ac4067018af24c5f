// SPDX-License-Identifier: Apache-2.0

package announce

import (
	"errors"
	"fmt"
	"reflect"
	"time"
)

// key identifies a Set.
type key struct {
	group uint8
	index int
	vlan  uint16
}

// station is a Set ready to be announced, and where its announcement stands.
type station struct {
	set        Set
	sock       *socket
	beacon     frame
	hasBeacon  bool
	round      []frame
	advert     []byte
	advertiser advertiser
	replies    bucket
	refresh    time.Duration

	serving    bool
	cursor     int // next frame of the running round; len(round) when it is complete
	rounds     int // rounds begun in this series
	nextRound  int64
	nextBeacon int64
}

// newStation builds every frame of a set. If only the router advertisement is wrong, the station is without it and there is an
// error too: hosts must not lose their gateway over a setting for new ones.
func newStation(set Set, sock *socket) (*station, error) {
	s := &station{set: set, sock: sock, refresh: defaultRefresh}
	var err error
	if src := set.source(); src[0]&1 != 0 {
		return nil, fmt.Errorf("%s: %x is a multicast MAC, which no frame may come from: name the interface's own as source", set.Name, src)
	}
	if s.beacon, s.hasBeacon, err = set.beacon(); err != nil {
		return nil, err
	}
	if s.round, err = set.round(); err != nil {
		return nil, err
	}
	s.cursor = len(s.round)
	return s, s.prepareAdvert()
}

// prepareAdvert builds the router advertisement, if the set has one.
func (s *station) prepareAdvert() error {
	if s.set.Router == nil {
		return nil
	}
	r, err := s.set.Router.withDefaults()
	if err != nil {
		return fmt.Errorf("%s: %w", s.set.Name, err)
	}
	set := s.set
	set.Router = &r
	if s.advert, err = set.routerAdvert(allNodes, allNodesMAC); err != nil {
		return err
	}
	s.set = set
	s.advertiser = advertiser{min: r.MinInterval, max: r.MaxInterval}
	return nil
}

// begin starts a series from its first round.
func (s *station) begin(now int64) {
	s.serving = true
	s.rounds = 0
	s.nextBeacon = now
	s.advertiser.start(now)
	s.beginRound(now)
}

// beginRound starts a round, also when the former one has not ended: the newest start counts.
func (s *station) beginRound(now int64) {
	s.cursor = 0
	s.nextRound = now + int64(gapAfter(s.rounds, s.refresh))
	s.rounds++
}

// due is when the station next has something to send, assuming its round in progress is being sent.
func (s *station) due() int64 {
	d := s.nextRound
	if s.hasBeacon {
		d = min(d, s.nextBeacon)
	}
	if s.advert != nil {
		d = min(d, s.advertiser.due)
	}
	return d
}

// build makes stations and sockets for sets, keeping open sockets of interfaces that stay. The returned map holds the
// sockets in use.
func build(sets []Set, open map[int]*socket) ([]*station, map[int]*socket, error) {
	var errs []error
	var stations []*station
	socks := make(map[int]*socket)
	seen := make(map[key]bool)
	for _, set := range sets {
		k := key{set.Group, set.Index, set.VLAN}
		if seen[k] {
			errs = append(errs, fmt.Errorf("announce on %s: group %d, VLAN %d is named twice", set.Name, set.Group, set.VLAN))
			continue
		}
		seen[k] = true
		sock := socks[set.Index]
		if sock == nil {
			if sock = open[set.Index]; sock != nil && !boundTo(sock.fd, set.Index) {
				sock = nil
			}
		}
		if sock == nil {
			var err error
			if sock, err = openSocket(set.Index); err != nil {
				errs = append(errs, fmt.Errorf("announce on %s (index %d): %w", set.Name, set.Index, err))
				continue
			}
		}
		socks[set.Index] = sock
		s, err := newStation(set, sock)
		if err != nil {
			errs = append(errs, fmt.Errorf("announce: %w", err))
		}
		if s != nil {
			stations = append(stations, s)
		}
	}
	return stations, socks, errors.Join(errs...)
}

// setRefresh changes the gap between rounds after the series. A round that would come later than that comes earlier.
func (s *station) setRefresh(d time.Duration, now int64) {
	s.refresh = d
	if s.serving {
		s.nextRound = min(s.nextRound, now+int64(gapAfter(max(s.rounds-1, 0), d)))
	}
}

// inherit takes over the announcement of a former station for the same set; a changed one begins a new series.
func (s *station) inherit(old *station, now int64) {
	if !old.serving {
		return
	}
	if !reflect.DeepEqual(s.set, old.set) {
		s.begin(now)
		return
	}
	s.serving, s.cursor, s.rounds = true, old.cursor, old.rounds
	s.nextRound, s.nextBeacon, s.advertiser = old.nextRound, old.nextBeacon, old.advertiser
}
