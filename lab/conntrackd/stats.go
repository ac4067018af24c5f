// SPDX-License-Identifier: Apache-2.0

package conntrackd

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"
)

// Stats is what a daemon says of itself.
type Stats struct {
	// Internal is how many entries of this member it has in its cache, External how many of the other one.
	Internal, External int
}

const (
	// statsRequest asks for what "conntrackd -s" prints (conntrack-tools, include/conntrackd.h: STATS); asking on the socket costs
	// the member no process.
	statsRequest = 21
	// askWithin bounds a question. The daemon answers none while it commits.
	askWithin = 20 * time.Second
)

// Stats asks a member's daemon.
func (c *Cluster) Stats(member string) (Stats, error) {
	conn, err := net.DialTimeout("unix", c.opts.path(member, "conntrackd.ctl"), askWithin)
	if err != nil {
		return Stats{}, err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(askWithin)); err != nil {
		return Stats{}, err
	}
	if _, err := conn.Write(binary.NativeEndian.AppendUint32(nil, statsRequest)); err != nil {
		return Stats{}, fmt.Errorf("member %s: ask conntrackd: %w", member, err)
	}
	text, err := io.ReadAll(conn)
	if err != nil {
		return Stats{}, fmt.Errorf("member %s: ask conntrackd: %w", member, err)
	}
	s, err := parseStats(string(text))
	if err != nil {
		return Stats{}, fmt.Errorf("member %s: %w", member, err)
	}
	return s, nil
}

// parseStats reads the lines "current active connections: N" below "cache internal:" and "cache external:". Without an external
// cache there is none of the second.
func parseStats(text string) (Stats, error) {
	var s Stats
	found := false
	var into *int
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(line, "cache internal"):
			into = &s.Internal
		case strings.HasPrefix(line, "cache external"), strings.HasPrefix(line, "external inject"):
			into = &s.External
		}
		value, ok := strings.CutPrefix(line, "current active connections:")
		if !ok || into == nil {
			continue
		}
		n, err := strconv.Atoi(strings.TrimSpace(value))
		if err != nil {
			return s, fmt.Errorf("conntrackd's statistics: %w", err)
		}
		*into, found = n, true
	}
	if !found {
		return s, fmt.Errorf("conntrackd's statistics: no caches in %q", text)
	}
	return s, nil
}
