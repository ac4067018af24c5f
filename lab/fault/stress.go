// SPDX-License-Identifier: Apache-2.0

package fault

import (
	"bytes"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast-project/holdfast/lab/machine"
	"github.com/holdfast-project/holdfast/lab/topology"
)

// Stress is a running stress-ng. It loads the processors and the memory of the whole host, as all machines share them.
type Stress struct {
	host *machine.Machine
	run  *machine.Running
	out  bytes.Buffer
}

// StartStress starts stress-ng with these arguments ("--cpu 16 --vm 2"), on a machine made for it so that all of its many
// processes end with it.
func StartStress(lab *topology.Lab, args ...string) (*Stress, error) {
	path, err := exec.LookPath("stress-ng")
	if err != nil {
		return nil, fmt.Errorf("stress: %w: install Debian's package stress-ng", err)
	}
	node := &topology.Node{Name: "stress", NS: lab.Switch.NS}
	s := &Stress{host: machine.New(lab, node)}
	if err := s.host.Boot(); err != nil {
		return nil, fmt.Errorf("stress: %w", err)
	}
	cmd := exec.Command(path, append([]string{"--quiet", "--temp-path", "/tmp"}, args...)...)
	cmd.Stdout, cmd.Stderr = &s.out, &s.out
	if s.run, err = s.host.Start(cmd); err != nil {
		return nil, errors.Join(fmt.Errorf("stress: %w", err), s.host.Close())
	}
	return s, nil
}

// stressPatience is how long stress-ng has to clean up.
const stressPatience = 2 * time.Second

// Stop ends it. It is an error if stress-ng had ended by itself with one.
func (s *Stress) Stop() error {
	var early error
	select {
	case <-s.run.Done():
		if err := s.run.Wait(); err != nil {
			early = fmt.Errorf("stress-ng ended by itself: %w: %s", err, strings.TrimSpace(s.out.String()))
		}
	default:
	}
	// Its own clean-up removes its temporary files; the machine's end catches what does not listen.
	_, err := s.host.Signal(unix.SIGTERM, func(p machine.Process) bool { return p.PID == s.run.PID() })
	pause(s.run.Done(), stressPatience)
	return errors.Join(early, err, s.host.Close())
}
