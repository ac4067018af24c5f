// SPDX-License-Identifier: Apache-2.0

package scenario

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// helpers are what runs on nodes for monitors to look at. The zero value is ready to use.
type helpers struct {
	listeners map[string]func() error // by "node:port": what ends it
	processes map[string][]helperProcess
	tasks     sync.WaitGroup
}

type helperProcess struct {
	process *os.Process
	wait    func() error
}

func (h *helpers) close() error {
	var errs []error
	for _, end := range h.listeners {
		errs = append(errs, end())
	}
	for node := range h.processes {
		errs = append(errs, h.end(node))
	}
	h.listeners = nil
	h.tasks.Wait()
	return errors.Join(errs...)
}

// end ends the node's processes.
func (h *helpers) end(node string) error {
	var errs []error
	for _, p := range h.processes[node] {
		// Its whole group, which has the process's number: a shell's children too.
		if err := unix.Kill(-p.process.Pid, unix.SIGKILL); err != nil && !errors.Is(err, unix.ESRCH) {
			errs = append(errs, err)
		}
		_ = p.wait() // killed, as it should be
	}
	delete(h.processes, node)
	return errors.Join(errs...)
}

// serve listens on a node's port: tcp accepts and says nothing, http answers every request with a status.
type serve struct {
	kind   string
	port   int
	node   string
	status int
}

func where(node string, port int) string { return fmt.Sprintf("%s:%d", node, port) }

func (a serve) run(_ context.Context, r *runner) error {
	n, err := r.lab.Node(a.node)
	if err != nil {
		return err
	}
	at := where(a.node, a.port)
	if _, taken := r.helpers.listeners[at]; taken {
		return fmt.Errorf("%s is served already", at)
	}
	var l net.Listener
	err = n.NS.Do(func() (err error) {
		l, err = net.Listen("tcp", fmt.Sprintf(":%d", a.port))
		return err
	})
	if err != nil {
		return err
	}
	if r.helpers.listeners == nil {
		r.helpers.listeners = map[string]func() error{}
	}
	r.heal(a.node, "%s is served on port %d", a.kind, a.port)
	if a.kind == "tcp" {
		r.helpers.listeners[at] = l.Close
		r.helpers.tasks.Go(func() { greet(l) })
		return nil
	}
	server := &http.Server{ReadHeaderTimeout: time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(cmp.Or(a.status, http.StatusOK))
	})}
	r.helpers.listeners[at] = server.Close
	r.helpers.tasks.Go(func() { _ = server.Serve(l) }) // returns when it is closed
	return nil
}

// greet accepts connections and closes them, until the listener is closed.
func greet(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		_ = c.Close() // nobody reads from it
	}
}

type serveStop struct {
	port int
	node string
}

func (a serveStop) run(_ context.Context, r *runner) error {
	at := where(a.node, a.port)
	end, ok := r.helpers.listeners[at]
	if !ok {
		return fmt.Errorf("%s is not served", at)
	}
	r.harm(a.node, "port %d is served no more", a.port)
	delete(r.helpers.listeners, at)
	return end()
}

// background starts a command that goes on until it is ended with all others of the node.
type background struct {
	node string
	args []string
}

func (a background) run(_ context.Context, r *runner) error {
	if len(a.args) == 0 {
		return fmt.Errorf("run on %s: no command", a.node)
	}
	cmd, err := r.command(context.Background(), a.args)
	if err != nil {
		return err
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	wait, err := r.startOn(a.node, cmd)
	if err != nil {
		return err
	}
	r.heal(a.node, "%s runs", strings.Join(a.args, " "))
	if r.helpers.processes == nil {
		r.helpers.processes = map[string][]helperProcess{}
	}
	r.helpers.processes[a.node] = append(r.helpers.processes[a.node], helperProcess{cmd.Process, wait})
	return nil
}

type endBackground struct{ node string }

func (a endBackground) run(_ context.Context, r *runner) error {
	if len(r.helpers.processes[a.node]) == 0 {
		return fmt.Errorf("nothing was started on %s with run", a.node)
	}
	r.harm(a.node, "what was started on it is killed")
	return r.helpers.end(a.node)
}
