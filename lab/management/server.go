// SPDX-License-Identifier: Apache-2.0

package management

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast-project/holdfast/lab/machine"
)

// Server is holdfast-mgmt on one node.
type Server struct {
	name, binaries, dir, store string
	machine                    *machine.Machine
	run                        *machine.Running
}

func (v *Server) storeFlags() []string {
	if v.store == "" {
		return nil
	}
	return []string{"--store", v.store}
}

// alive tells whether the server's process runs.
func (v *Server) alive() bool {
	if v.run == nil {
		return false
	}
	select {
	case <-v.run.Done():
		return false
	default:
		return true
	}
}

// start starts the server and returns when it answers.
func (v *Server) start(ctx context.Context) error {
	if v.alive() {
		return fmt.Errorf("%s: its server runs", v.name)
	}
	address := v.machine.Node().Ports[0].V4.Addr().String()
	listen := fmt.Sprintf("%s:%d", address, Port)
	cmd := exec.Command(filepath.Join(v.binaries, "holdfast-mgmt"),
		append([]string{"serve", "--data", v.dir, "--listen", listen, "--name", address}, v.storeFlags()...)...)
	log, err := os.OpenFile(filepath.Join(v.dir, "holdfast-mgmt.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close() // the server has its own
	cmd.Stdout, cmd.Stderr = log, log
	if v.run, err = v.machine.Start(cmd); err != nil {
		return err
	}
	if err := v.reachable(ctx, listen, v.run); err != nil {
		raw, _ := os.ReadFile(log.Name()) // without it the error is short of its last words
		lines := strings.Split(strings.TrimSpace(string(raw)), "\n")
		return fmt.Errorf("%w: %s", err, strings.Join(lines[max(0, len(lines)-5):], "\n"))
	}
	return nil
}

// Start starts a server that was killed.
func (v *Server) Start(ctx context.Context) error { return v.start(ctx) }

// Signal sends the server a signal; after SIGKILL and SIGTERM it returns when the process is gone.
func (v *Server) Signal(sig unix.Signal) error {
	if !v.alive() {
		return fmt.Errorf("%s: no server runs", v.name)
	}
	if err := unix.Kill(v.run.PID(), sig); err != nil {
		return fmt.Errorf("%s: %w", v.name, err)
	}
	if sig == unix.SIGKILL || sig == unix.SIGTERM {
		<-v.run.Done()
	}
	return nil
}

// Restore puts a backup in the place of the server's store; the server must not run.
func (v *Server) Restore(ctx context.Context, file string) error {
	if v.alive() {
		return fmt.Errorf("%s: its server runs: a backup is restored while it does not", v.name)
	}
	if v.store == "" { // nothing is restored over what is there
		path := filepath.Join(v.dir, "store.db")
		if err := os.Rename(path, path+".before"); err != nil {
			return err
		}
	}
	_, err := v.command(ctx, "holdfast-mgmt", append([]string{"restore", "--data", v.dir}, append(v.storeFlags(), file)...)...)
	return err
}

// reachable waits until something listens on an address of the machine, or the process that should has ended.
func (v *Server) reachable(ctx context.Context, address string, run *machine.Running) error {
	for {
		var c net.Conn
		err := v.machine.Node().NS.Do(func() (err error) {
			c, err = net.DialTimeout("tcp", address, time.Second)
			return err
		})
		if err == nil {
			return c.Close()
		}
		select {
		case <-run.Done():
			return errors.Join(fmt.Errorf("%s: %s ended", v.name, run.Cmd.Path), run.Wait())
		case <-ctx.Done():
			return fmt.Errorf("%s: nobody listens on %s: %w", v.name, address, ctx.Err())
		case <-time.After(20 * time.Millisecond):
		}
	}
}
