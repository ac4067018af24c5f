// SPDX-License-Identifier: Apache-2.0

package scenario

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/holdfast-project/holdfast/lab/report"
)

// cpuUse has a member read of its processors that they are busy for a part of the time: all machines share the host's, and what those do is nobody's.
type cpuUse struct {
	member string
	part   float64
}

// processors is the /proc/stat of a member.
type processors struct {
	file *os.File
	part atomic.Uint64 // thousandths
	stop chan struct{}
	done sync.WaitGroup
}

func (a cpuUse) run(ctx context.Context, r *runner) error {
	p := r.cpus[a.member]
	if p == nil {
		var err error
		if p, err = r.fakeProcessors(a.member); err != nil {
			return fmt.Errorf("cpu %s: %w", a.member, err)
		}
		r.cpus[a.member] = p
	}
	p.part.Store(uint64(1000 * a.part))
	r.add(report.Event{Kind: report.Step, Subject: a.member, Text: fmt.Sprintf("its processors are busy for %.0f %% of the time", 100*a.part)})
	return ctx.Err()
}

// fakeProcessors puts a file over the member's /proc/stat, and lets its time go by.
func (r *runner) fakeProcessors(member string) (*processors, error) {
	m, err := r.cluster.Machine(member)
	if err != nil {
		return nil, err
	}
	path := filepath.Join(r.opts.Dir, r.sc.Name, "stat-"+member)
	file, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o644) //nolint:gosec // as /proc/stat is
	if err != nil {
		return nil, err
	}
	p := &processors{file: file, stop: make(chan struct{})}
	if err := p.write(0, 0); err != nil {
		file.Close()
		return nil, err
	}
	run, err := m.Start(exec.Command("mount", "--bind", path, "/proc/stat"))
	if err == nil {
		err = run.Wait()
	}
	if err != nil {
		file.Close()
		return nil, err
	}
	p.done.Go(p.tick)
	return p, nil
}

// tick lets a tenth of a second go by each.
func (p *processors) tick() {
	busy, idle := uint64(0), uint64(0)
	t := time.NewTicker(100 * time.Millisecond)
	defer t.Stop()
	for {
		select {
		case <-p.stop:
			return
		case <-t.C:
		}
		part := p.part.Load()
		busy, idle = busy+part, idle+1000-part
		if p.write(busy, idle) != nil {
			return
		}
	}
}

// write replaces the line by one as long: whoever reads meanwhile sees either.
func (p *processors) write(busy, idle uint64) error {
	_, err := p.file.WriteAt(fmt.Appendf(nil, "cpu  %012d 0 0 %012d 0 0 0 0 0 0\n", busy, idle), 0)
	return err
}

func (p *processors) close() error {
	close(p.stop)
	p.done.Wait()
	return p.file.Close()
}
