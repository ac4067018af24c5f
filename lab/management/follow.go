// SPDX-License-Identifier: Apache-2.0

package management

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Follow runs holdfast-mgmt as Run does and calls line with each line of its output when it comes. An error of line ends the program, and is
// returned.
func (s *Site) Follow(ctx context.Context, line func(at time.Time, text []byte) error, args ...string) error {
	first := s.servers[0]
	cmd := exec.Command(filepath.Join(first.binaries, "holdfast-mgmt"), append([]string{"--profile", filepath.Join(first.dir, "admin")}, args...)...)
	var complaints bytes.Buffer
	in, out := io.Pipe()
	cmd.Stdout, cmd.Stderr = out, &complaints
	run, err := first.machine.Start(cmd)
	if err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() {
		err := run.Wait()
		_ = out.Close() // a PipeWriter has no error
		ended <- err
	}()
	kill := func() { _ = unix.Kill(run.PID(), unix.SIGKILL) } // it may have ended
	defer context.AfterFunc(ctx, kill)()
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if err = line(time.Now(), lines.Bytes()); err != nil {
			break
		}
	}
	if err = errors.Join(err, lines.Err()); err != nil {
		kill()
		_ = in.CloseWithError(err) // nobody reads on
	}
	if failed := <-ended; failed != nil && err == nil {
		err = fmt.Errorf("holdfast-mgmt %s: %w: %s", strings.Join(args, " "), failed, bytes.TrimSpace(complaints.Bytes()))
	}
	return errors.Join(err, ctx.Err())
}
