// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast-project/holdfast/lab/fleet"
	"github.com/holdfast-project/holdfast/management/store/etcdtest"
)

// FleetConfig says what the benchmark of management measures.
type FleetConfig struct {
	// Binary is the path of holdfast-mgmt.
	Binary string
	// Clusters have Members members each; all report every second.
	Clusters, Members int
	// Systems are those of FleetSystems.
	Systems []string
	// Rounds is how often it is measured, Window for how long each time.
	Rounds int
	Window time.Duration
	// AtOnce is how many installs are asked for at a time when all clusters get one.
	AtOnce int
	// Dir is where files of the server go, on the disk that is measured; it must exist.
	Dir string
	// Log gets a line per measurement; nil discards them.
	Log io.Writer
}

// FleetSystems are the stores that are compared.
func FleetSystems() []string { return []string{systemBolt, systemEtcd} }

const (
	systemBolt = "mgmt-bbolt"
	systemEtcd = "mgmt-etcd"
	// fleetRuleset is what is installed: that rulesets are large is another benchmark's matter.
	fleetRuleset = "table inet filter {\n\tchain forward {\n\t\ttype filter hook forward priority 0; policy drop;\n\t\tct state established,related accept\n\t\ttcp dport 443 accept\n\t}\n}\n"
	// fleetOperators share the requests of installs: the server limits what one may ask.
	fleetOperators = 10
	fleetWithin    = 4 * time.Minute
	fleetSettle    = 5 * time.Second
)

// Fleet measures what a management server takes while a whole fleet reports to it, and how long installs take then. The rows are
//   - cpu_percent of one processor and rss_mb, of server and etcd together, while nothing but reports goes on;
//   - install_seconds for an install on each cluster, all asked for as fast as the server takes them, until the last member has said that it is
//     confirmed;
//   - install_one_seconds for an install on one cluster; a second of it is the guard's.
func Fleet(ctx context.Context, cfg FleetConfig) (_ Result, err error) {
	if cfg.Clusters < 1 || cfg.Clusters > 5000 || cfg.Members < 2 || cfg.Members > 8 || cfg.Rounds < 1 || cfg.Window < time.Second || cfg.AtOnce < 1 {
		return Result{}, fmt.Errorf("bench: %d rounds of %v with %d clusters of %d members: at least one of 1s, with 1 to 5000 clusters of 2 to 8", cfg.Rounds, cfg.Window, cfg.Clusters, cfg.Members)
	}
	if cfg.Log == nil {
		cfg.Log = io.Discard
	}
	began := time.Now()
	result := Result{Benchmark: benchPolicy, Started: began.Round(0), Host: thisHost(), Rounds: cfg.Rounds}
	memory, err := os.MkdirTemp(memoryDir(), "holdfast-fleet-")
	if err != nil {
		return result, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(memory)) }()
	site, err := fleet.Prepare(ctx, fleet.Options{Binary: cfg.Binary, Dir: memory, Clusters: cfg.Clusters, Members: cfg.Members, Operators: fleetOperators})
	if err != nil {
		return result, err
	}
	fmt.Fprintf(cfg.Log, "%d clusters of %d members are enrolled after %v\n", cfg.Clusters, cfg.Members, time.Since(began).Round(time.Second))
	for _, system := range cfg.Systems {
		m := fleetMeasure{cfg: cfg, site: site, system: system}
		if err := m.run(ctx); err != nil {
			result.Failures = append(result.Failures, Failure{System: system, Error: err.Error()})
		}
		result.Measures = append(result.Measures, m.measures...)
	}
	result.Rows = summarizeMeasures(result.Measures, systemsNamed(cfg.Systems))
	result.Took = time.Since(began).Round(time.Second).String()
	return result, nil
}

// memoryDir is where files need no disk; "" if there is no such place.
func memoryDir() string {
	if info, err := os.Stat("/dev/shm"); err == nil && info.IsDir() {
		return "/dev/shm"
	}
	return ""
}

// fleetMeasure is the measurement of one system.
type fleetMeasure struct {
	cfg    FleetConfig
	site   *fleet.Site
	system string
	pids   []int

	measures []Measure
}

func (m *fleetMeasure) run(ctx context.Context) (err error) {
	dir, err := os.MkdirTemp(m.cfg.Dir, "f")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	target := ""
	if m.system == systemEtcd {
		etcd, err := etcdtest.New(filepath.Join(dir, "etcd"))
		if err == nil {
			err = etcd.Run(ctx)
		}
		if err != nil {
			return err
		}
		defer etcd.Stop()
		m.pids, target = append(m.pids, etcd.PID()), etcd.Target()
	}
	if err := m.site.CopyTo(ctx, dir, target); err != nil {
		return err
	}
	server, err := startManagement(m.cfg.Binary, dir, target)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.stop()) }()
	m.pids = append(m.pids, server.cmd.Process.Pid)
	began := time.Now()
	members, err := m.site.Start(ctx, server.url)
	if err != nil {
		return err
	}
	defer members.Stop()
	bounded, cancel := context.WithTimeout(ctx, fleetWithin)
	defer cancel()
	if err := members.Wait(bounded); err != nil {
		return err
	}
	fmt.Fprintf(m.cfg.Log, "%-10s all members report after %v\n", m.system, time.Since(began).Round(100*time.Millisecond))
	return m.measure(ctx, members)
}

func (m *fleetMeasure) measure(ctx context.Context, members *fleet.Fleet) error {
	if err := rest(ctx, fleetSettle); err != nil {
		return err
	}
	for round := 1; round <= m.cfg.Rounds; round++ {
		before, err := processes(m.pids)
		if err != nil {
			return err
		}
		began := time.Now()
		if err := rest(ctx, m.cfg.Window); err != nil {
			return err
		}
		after, err := processes(m.pids)
		if err != nil {
			return err
		}
		cpu := 100 * float64(after.cpu-before.cpu) / float64(time.Since(began))
		fmt.Fprintf(m.cfg.Log, "round %d  %-10s %.1f %% of a processor, %.0f MB while all report\n", round, m.system, cpu, after.rssMB)
		if n, why := members.Reachable(); n != m.cfg.Clusters*m.cfg.Members {
			return fmt.Errorf("only %d members report: %s", n, why)
		}
		bounded, cancel := context.WithTimeout(ctx, fleetWithin)
		one, err := members.InstallAll(bounded, 1, 1, fleetRuleset)
		var all time.Duration
		if err == nil {
			all, err = members.InstallAll(bounded, m.cfg.Clusters, m.cfg.AtOnce, fleetRuleset)
		}
		cancel()
		if err != nil {
			return err
		}
		m.measures = append(m.measures, Measure{
			Round: round, Case: fmt.Sprintf("fleet-%d", m.cfg.Clusters*m.cfg.Members), System: m.system,
			Values: map[string]float64{"cpu_percent": cpu, "rss_mb": after.rssMB, "install_one_seconds": one.Seconds(), "install_seconds": all.Seconds()},
		})
		fmt.Fprintf(m.cfg.Log, "round %d  %-10s an install on one cluster %.2f s, on all %.2f s\n", round, m.system, one.Seconds(), all.Seconds())
		if err := rest(ctx, fleetSettle); err != nil {
			return err
		}
	}
	return nil
}

func rest(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// processes is what some processes have used together.
func processes(pids []int) (usage, error) {
	var sum usage
	for _, pid := range pids {
		u, err := processUsage(pid)
		if err != nil {
			return sum, err
		}
		sum.cpu, sum.rssMB = sum.cpu+u.cpu, sum.rssMB+u.rssMB
	}
	return sum, nil
}

// managementServer is a holdfast-mgmt that runs.
type managementServer struct {
	cmd *exec.Cmd
	url string
	log *os.File
}

// startManagement starts a server on loopback and returns when it listens.
func startManagement(binary, dir, target string) (*managementServer, error) {
	args := []string{"serve", "--data", dir, "--listen", "127.0.0.1:0", "--name", "127.0.0.1", "--host", "fleet", "--unchecked"}
	if target != "" {
		args = append(args, "--store", target)
	}
	s := &managementServer{cmd: exec.Command(binary, args...)}
	var err error
	if s.log, err = os.Create(filepath.Join(dir, "holdfast-mgmt.log")); err != nil {
		return nil, err
	}
	s.cmd.Stderr = s.log
	s.cmd.SysProcAttr = &unix.SysProcAttr{Pdeathsig: unix.SIGKILL}
	out, err := s.cmd.StdoutPipe()
	if err == nil {
		err = s.cmd.Start()
	}
	if err != nil {
		return nil, errors.Join(err, s.log.Close())
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if address, ok := strings.CutPrefix(lines.Text(), "listening on "); ok {
			s.url = "https://" + address
			return s, nil
		}
	}
	err = fmt.Errorf("%s serve ended", binary)
	if raw, rerr := os.ReadFile(s.log.Name()); rerr == nil {
		err = fmt.Errorf("%w: %s", err, raw)
	}
	return nil, errors.Join(err, s.stop())
}

func (s *managementServer) stop() error {
	_ = s.cmd.Process.Signal(unix.SIGTERM) // it may have ended
	err := s.cmd.Wait()
	return errors.Join(err, s.log.Close())
}
