// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast-project/holdfast/lab/churn"
	"github.com/holdfast-project/holdfast/lab/netns"
	"github.com/holdfast-project/holdfast/lab/stamp"
	"github.com/holdfast-project/holdfast/lab/topology"
)

// Of the case latency.
const (
	// latencyChurn is in new connections a second beside what is measured, so that there is something to synchronise.
	latencyChurn = 2000
	// packets is how many are measured of each kind, one of each every latencyEvery.
	packets      = 3000
	latencyEvery = 2 * time.Millisecond
	// knownPort and newPort are the server's: of the connection whose later packets are measured, and of those whose first ones are.
	knownPort = 9200
	newPort   = 9201
	// firstPort is the client's first port of new connections.
	firstPort = 30000
)

// latency measures how long a packet takes from the client's system call to the server's socket, the later packets of one connection
// and the first packets of new ones, while connections are opened beside; heard: and somebody listens to them.
func (sd *syncStand) latency(ctx context.Context, heard bool) (_ Measure, err error) {
	if err := sd.quiet(); err != nil {
		return Measure{}, err
	}
	if heard {
		stop, listening := listen(sd.active.NS)
		if listening != nil {
			return Measure{}, listening
		}
		defer func() { err = errors.Join(err, stop()) }()
	}
	client, server := sd.lab.OfKind(topology.Client)[0], sd.lab.OfKind(topology.Server)[0]
	run, err := churn.Start(ctx, churn.Config{Client: client, Server: server, Rate: latencyChurn})
	if err != nil {
		return Measure{}, err
	}
	defer func() { _, stopErr := run.Stop(); err = errors.Join(err, stopErr) }()
	to := server.Ports[0].V4.Addr()
	known, err := openPath(client.NS, server.NS, to, knownPort)
	if err != nil {
		return Measure{}, err
	}
	defer known.close()
	fresh, err := openPath(client.NS, server.NS, to, newPort)
	if err != nil {
		return Measure{}, err
	}
	defer fresh.close()
	var ofKnown, ofNew []float64
	ticker := time.NewTicker(latencyEvery)
	defer ticker.Stop()
	for i := range packets {
		for _, p := range []struct {
			path   *path
			port   uint16
			values *[]float64
		}{{known, firstPort, &ofKnown}, {fresh, uint16(firstPort + i), &ofNew}} {
			d, err := p.path.packet(p.port)
			if err != nil {
				return Measure{}, err
			}
			if p.path == fresh || i > 0 { // the first one of the known connection is of a new one
				*p.values = append(*p.values, float64(d)/float64(time.Microsecond))
			}
		}
		select {
		case <-ctx.Done():
			return Measure{}, ctx.Err()
		case <-ticker.C:
		}
	}
	return Measure{Values: map[string]float64{
		"known_us": median(ofKnown), "known_p99_us": p99(ofKnown), "new_us": median(ofNew), "new_p99_us": p99(ofNew),
	}}, nil
}

// p99 is the 99th percentile by the nearest rank; values must not be empty.
func p99(values []float64) float64 {
	sorted := slices.SortedFunc(slices.Values(values), cmp.Compare[float64])
	return sorted[(len(sorted)*99+99)/100-1]
}

// path is a sending host and the server's socket.
type path struct {
	sender, receiver int
	to               netip.AddrPort
	packetNumber     uint64
}

// openPath opens a raw socket at the client, so that each packet can come from a port of its own, and a socket at the server.
func openPath(client, server *netns.NS, to netip.Addr, port uint16) (*path, error) {
	p := &path{sender: -1, receiver: -1, to: netip.AddrPortFrom(to, port)}
	err := client.Do(func() (err error) {
		if p.sender, err = unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_UDP); err != nil {
			return err
		}
		return unix.Connect(p.sender, &unix.SockaddrInet4{Addr: to.As4()})
	})
	if err == nil {
		err = server.Do(func() (err error) {
			if p.receiver, err = unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0); err != nil {
				return err
			}
			if err := stamp.Enable(p.receiver); err != nil {
				return err
			}
			timeout := unix.NsecToTimeval(time.Second.Nanoseconds())
			if err := unix.SetsockoptTimeval(p.receiver, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &timeout); err != nil {
				return err
			}
			return unix.Bind(p.receiver, &unix.SockaddrInet4{Port: int(port), Addr: to.As4()})
		})
	}
	if err != nil {
		p.close()
		return nil, fmt.Errorf("sockets to measure latency to %s: %w", p.to, err)
	}
	return p, nil
}

func (p *path) close() {
	for _, fd := range []int{p.sender, p.receiver} {
		if fd >= 0 {
			_ = unix.Close(fd) // nothing is lost with it
		}
	}
}

// packet sends one and returns how long it took.
func (p *path) packet(port uint16) (time.Duration, error) {
	p.packetNumber++
	var b [16]byte // UDP without a checksum, which RFC 768 allows
	binary.BigEndian.PutUint16(b[0:], port)
	binary.BigEndian.PutUint16(b[2:], p.to.Port())
	binary.BigEndian.PutUint16(b[4:], uint16(len(b)))
	binary.BigEndian.PutUint64(b[8:], p.packetNumber)
	sent := time.Now()
	if _, err := unix.Write(p.sender, b[:]); err != nil {
		return 0, fmt.Errorf("packet %d to %s: %w", p.packetNumber, p.to, err)
	}
	var got [16]byte
	var oob [stamp.Space]byte
	for {
		n, oobn, _, _, err := unix.Recvmsg(p.receiver, got[:], oob[:], 0)
		now := time.Now()
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return 0, fmt.Errorf("packet %d to %s does not arrive: %w", p.packetNumber, p.to, err)
		}
		if n < 8 || binary.BigEndian.Uint64(got[:]) != p.packetNumber {
			continue
		}
		at, _ := stamp.Arrival(oob[:oobn], now)
		return at.Sub(sent), nil
	}
}
