// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/holdfast-project/holdfast/internal/control"
	"github.com/holdfast-project/holdfast/lab/members"
	"github.com/holdfast-project/holdfast/lab/topology"
)

// DevicesConfig says what the benchmark of critical devices measures.
type DevicesConfig struct {
	// Binary is the path of holdfastd; "" looks where a build leaves it.
	Binary string
	// Devices are registered with each member and reported once a second, all in one request; Monitors are of all types that need
	// nothing special of the host, at their usual intervals.
	Devices, Monitors int
	// Rounds is how often it is measured, and Window for how long each time.
	Rounds int
	Window time.Duration
	// Members is the size of both clusters; 0 means 3.
	Members int
	// Dir is where files go; it must exist and its path be short.
	Dir string
	// Log gets a line per measurement; nil discards them.
	Log io.Writer
}

// Names of what is compared: a cluster as it is, and the same with devices and monitors.
const (
	caseDevices   = "devices"
	systemPlain   = "holdfast"
	systemDevices = "holdfast-devices"
)

// Devices measures what critical devices and monitors cost a member: two clusters, one with and one without, stand side by side at rest,
// and each member's processor time and memory are read over the same time. The result's rows are cpu_percent (of one core, the daemon,
// its pulse and all that it starts) and rss_mb.
func Devices(ctx context.Context, cfg DevicesConfig) (_ Result, err error) {
	if cfg.Rounds < 1 || cfg.Window < time.Second || cfg.Devices < 0 || cfg.Devices > control.MaxDevices || cfg.Monitors < 0 {
		return Result{}, fmt.Errorf("bench: %d rounds of %v with %d devices and %d monitors: at least one of 1s, at most %d devices",
			cfg.Rounds, cfg.Window, cfg.Devices, cfg.Monitors, control.MaxDevices)
	}
	if cfg.Members == 0 {
		cfg.Members = 3
	}
	if cfg.Log == nil {
		cfg.Log = io.Discard
	}
	began := time.Now()
	result := Result{Benchmark: caseDevices, Started: began.Round(0), Host: thisHost(), Rounds: cfg.Rounds}
	var clusters []*loaded
	defer func() {
		for _, c := range clusters {
			err = errors.Join(err, c.close())
		}
	}()
	for i, name := range []string{systemPlain, systemDevices} {
		c, oerr := openLoaded(ctx, cfg, i, name)
		if oerr != nil {
			return result, fmt.Errorf("%s: %w", name, oerr)
		}
		clusters = append(clusters, c)
	}
	for round := 1; round <= cfg.Rounds; round++ {
		if err := measureRest(ctx, cfg, round, clusters); err != nil {
			return result, err
		}
	}
	for _, c := range clusters {
		for _, m := range []struct {
			name, unit string
			values     []float64
		}{{"cpu_percent", "percent", c.cpu}, {"rss_mb", "MB", c.rss}} {
			result.Rows = append(result.Rows, row(caseDevices, c.name, m.name, m.unit, m.values))
		}
	}
	result.Took = time.Since(began).Round(time.Second).String()
	return result, nil
}

// measureRest measures all members of all clusters over the same time.
func measureRest(ctx context.Context, cfg DevicesConfig, round int, clusters []*loaded) error {
	before := map[*loaded][]usage{}
	began := time.Now()
	for _, c := range clusters {
		u, err := c.usage()
		if err != nil {
			return err
		}
		before[c] = u
	}
	timer := time.NewTimer(cfg.Window)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
	}
	took := time.Since(began)
	for _, c := range clusters {
		after, err := c.usage()
		if err != nil {
			return err
		}
		var text []string
		for i, u := range after {
			cpu := 100 * float64(u.cpu-before[c][i].cpu) / float64(took)
			c.cpu, c.rss = append(c.cpu, cpu), append(c.rss, u.rssMB)
			text = append(text, fmt.Sprintf("%s %.2f %% of a core, %.0f MB", u.member, cpu, u.rssMB))
		}
		fmt.Fprintf(cfg.Log, "round %d  %-18s %s\n", round, c.name, strings.Join(text, "; "))
	}
	return nil
}

// loaded is a cluster with its reporters and what its monitors look at.
type loaded struct {
	name     string
	lab      *topology.Lab
	cluster  *members.Cluster
	dir      string
	stop     context.CancelFunc
	tasks    sync.WaitGroup
	servers  []*http.Server
	cpu, rss []float64
}

func openLoaded(ctx context.Context, cfg DevicesConfig, i int, name string) (_ *loaded, err error) {
	c := &loaded{name: name}
	reporting, stop := context.WithCancel(ctx)
	c.stop = stop
	defer func() {
		if err != nil {
			err = errors.Join(err, c.close())
		}
	}()
	if c.lab, err = topology.Build(topology.DefaultSpec(fmt.Sprintf("devices%d", i), cfg.Members)); err != nil {
		return nil, err
	}
	if c.dir, err = os.MkdirTemp(cfg.Dir, "d"); err != nil {
		return nil, err
	}
	o := members.Options{Binary: cfg.Binary, Dir: c.dir}
	server := c.lab.OfKind(topology.Server)[0]
	if name == systemDevices {
		o.Extra = monitorsYAML(cfg.Monitors, server.Ports[0].V4.Addr().String())
		if err := c.serve(server); err != nil {
			return nil, err
		}
	}
	if c.cluster, err = members.New(c.lab, o); err != nil {
		return nil, err
	}
	bounded, cancel := context.WithTimeout(ctx, bootWithin)
	defer cancel()
	if err := c.cluster.Boot(bounded); err != nil {
		return nil, err
	}
	if name == systemDevices && cfg.Devices > 0 {
		for _, m := range c.cluster.Members() {
			if err := c.report(reporting, m.Client(), cfg.Devices); err != nil {
				return nil, err
			}
		}
	}
	return c, c.settle(bounded)
}

// monitoredPort is where the clusters' server answers to monitors.
const monitoredPort = 8080

// serve answers HTTP on a node, for tcp and http monitors.
func (c *loaded) serve(n *topology.Node) error {
	var l net.Listener
	err := n.NS.Do(func() (err error) {
		l, err = net.Listen("tcp", fmt.Sprintf(":%d", monitoredPort))
		return err
	})
	if err != nil {
		return err
	}
	s := &http.Server{ReadHeaderTimeout: 5 * time.Second, Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})}
	c.servers = append(c.servers, s)
	c.tasks.Go(func() { _ = s.Serve(l) }) // ends when it is closed
	return nil
}

// monitorsYAML lists n monitors, of each kind in turn.
func monitorsYAML(n int, server string) string {
	kinds := []string{
		"type: process, process: holdfastd",
		"type: file, path: /etc/passwd",
		fmt.Sprintf("type: tcp, address: \"%s:%d\"", server, monitoredPort),
		fmt.Sprintf("type: http, url: \"http://%s:%d/\"", server, monitoredPort),
		fmt.Sprintf("type: ping, targets: [%s]", server),
		fmt.Sprintf("type: arp, targets: [%s], interface: int", server),
		"type: disk, path: /, min-free: 0, min-inodes: 0, read-only: true",
		"type: interface, interface: ext, max-receive: 10Gbit",
		"type: route, protocol: kernel",
		"type: script, command: \"true\"",
	}
	var b strings.Builder
	for i := range n {
		if i == 0 {
			b.WriteString("monitors:\n")
		}
		fmt.Fprintf(&b, "  - {name: monitor-%d, %s}\n", i+1, kinds[i%len(kinds)])
	}
	return b.String()
}

// reportEvery is how often devices are reported; each falls into problem after five times that.
const reportEvery = time.Second

// report registers devices with a member and reports them until ctx ends.
func (c *loaded) report(ctx context.Context, client *control.Client, n int) error {
	batch := func(action string) control.DevicesRequest {
		var q control.DevicesRequest
		for i := range n {
			q.Requests = append(q.Requests, control.DeviceRequest{
				Action: action, Name: fmt.Sprintf("device-%d", i+1), Status: "ok", Timeout: control.Duration(5 * reportEvery),
			})
		}
		return q
	}
	if _, err := client.ManyDevices(ctx, batch("register")); err != nil {
		return err
	}
	c.tasks.Go(func() {
		tick := time.NewTicker(reportEvery)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				_, _ = client.ManyDevices(ctx, batch("report")) // the device's problem says it if none arrives
			}
		}
	})
	return nil
}

// settle waits until one member serves and all others stand by: no monitor is in problem then, and nothing is starting any more.
func (c *loaded) settle(ctx context.Context) error {
	for {
		states := map[string]string{}
		active, standby := 0, 0
		for name, s := range c.cluster.States(ctx) {
			for _, m := range s.Members {
				if m.Local {
					states[name] = strings.TrimSpace(m.State + " " + m.Reason)
					switch m.State {
					case "ACTIVE":
						active++
					case "STANDBY":
						standby++
					}
				}
			}
		}
		if active == 1 && active+standby == len(c.cluster.Members()) {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("not at rest: %v: %w", states, ctx.Err())
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func (c *loaded) close() error {
	c.stop()
	var errs []error
	for _, s := range c.servers {
		errs = append(errs, s.Close())
	}
	c.tasks.Wait()
	if c.cluster != nil {
		errs = append(errs, c.cluster.Close())
	}
	if c.lab != nil {
		errs = append(errs, c.lab.Close())
	}
	if c.dir != "" {
		errs = append(errs, os.RemoveAll(c.dir))
	}
	return errors.Join(errs...)
}
