// SPDX-License-Identifier: Apache-2.0

package pulse

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast-project/holdfast/bpf"
	"github.com/holdfast-project/holdfast/ccp"
)

const (
	startWait    = 10 * time.Second // for the child to begin
	eventsBuffer = 256
)

// Errors of the methods of Pulse.
var (
	ErrBusy   = errors.New("pulse: the child does not read: its socket is full")
	ErrClosed = errors.New("pulse: the child has ended")
	ErrFixed  = errors.New("pulse: cannot change while the child runs: start another")
)

// Pulse is main's handle on the pulse process. Its methods are safe for concurrent use and never block on the child.
type Pulse struct {
	cmd    *exec.Cmd
	conn   *net.UnixConn
	raw    syscall.RawConn
	log    *slog.Logger
	ctx    context.Context
	events chan Event
	stop   chan struct{} // closed by Close
	done   chan struct{} // closed when the child is reaped and no goroutine is left
	once   sync.Once
	spoken *spoken

	mu  sync.Mutex
	cfg Config
}

// YieldRequest asks a peer's gate to close. MinAge applies to courtesies only (milliseconds on the wire).
type YieldRequest struct {
	Target, Group uint8
	Term          uint32
	Kind          ccp.YieldKind
	MinAge        time.Duration
}

// Start runs `exe pulse` in the calling thread's namespaces, and waits until it has opened the gate's words. An empty exe is the program
// that runs, also when its file was replaced by an upgrade; a program of another build than this one's is refused, for the messages
// between the two have no versions. The child ends with ctx, with Close, and with this process, however this process ends.
func Start(ctx context.Context, exe string, cfg Config, log *slog.Logger) (*Pulse, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if exe == "" {
		exe = ownProgram
	}
	p := &Pulse{
		cfg: cfg, log: log, ctx: ctx, events: make(chan Event, eventsBuffer), stop: make(chan struct{}), done: make(chan struct{}),
	}
	if err := p.spawn(exe); err != nil {
		return nil, fmt.Errorf("pulse: start %s pulse: %w", exe, err)
	}
	if err := p.handshake(); err != nil {
		return nil, errors.Join(err, p.conn.Close(), p.reap(), p.spoken.giveBack())
	}
	go p.read()
	return p, nil
}

// spawn runs the child with its three descriptors.
func (p *Pulse) spawn(exe string) (err error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return fmt.Errorf("socket pair: %w", err)
	}
	ours, theirs := os.NewFile(uintptr(pair[0]), "pulse"), os.NewFile(uintptr(pair[1]), "main")
	defer ours.Close() // net.FileConn has a copy
	defer theirs.Close()
	// The child watches this process by descriptor: a parent-death signal would follow the thread that forked, and a process
	// number could be another's by the time the child looks.
	pidfd, err := unix.PidfdOpen(os.Getpid(), 0)
	if err != nil {
		return fmt.Errorf("pidfd: %w", err)
	}
	self := os.NewFile(uintptr(pidfd), "pidfd")
	defer self.Close()
	spoken, word, err := newSpoken()
	if err != nil {
		return err
	}
	defer word.Close()
	p.spoken = spoken
	conn, err := net.FileConn(ours)
	if err != nil {
		return errors.Join(err, spoken.giveBack())
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, conn.Close(), spoken.giveBack())
		}
	}()
	p.conn = conn.(*net.UnixConn)
	if p.raw, err = p.conn.SyscallConn(); err != nil {
		return err
	}
	p.cmd = exec.CommandContext(p.ctx, exe, "pulse")
	p.cmd.Env = append(os.Environ(), environment...)
	p.cmd.Stderr = os.Stderr // a panic's trace
	p.cmd.ExtraFiles = []*os.File{theirs, self, word}
	return p.cmd.Start()
}

// handshake says which build this is, configures the child and waits until it is ready.
func (p *Pulse) handshake() error {
	if err := errors.Join(p.send(&command{kind: msgBuild, text: build()}), p.configure(&p.cfg), p.word()); err != nil {
		return err
	}
	if err := p.conn.SetReadDeadline(time.Now().Add(startWait)); err != nil {
		return fmt.Errorf("pulse: %w", err)
	}
	b := make([]byte, maxMessage)
	n, err := p.receive(b)
	if err != nil {
		return fmt.Errorf("pulse: wait for the child to begin: %w", err)
	}
	if _, err := decodeEvent(b[:n]); err != nil {
		return err
	}
	if err := p.conn.SetReadDeadline(time.Time{}); err != nil {
		return fmt.Errorf("pulse: %w", err)
	}
	return nil
}

// read hands events on until the child is gone or Close is called. It owns the child's end.
func (p *Pulse) read() {
	defer close(p.done)
	defer close(p.events)
	b := make([]byte, maxPacket)
	for {
		n, err := p.receive(b)
		if err != nil || !messages(b[:n], p.take) {
			break
		}
	}
	_ = p.conn.Close() // Close may have been first
	err := p.reap()
	p.hand(Died{Err: err})
}

// take hands on what one message says, and reports whether there is somebody to hand it to.
func (p *Pulse) take(msg []byte) bool {
	e, err := decodeEvent(msg)
	if err != nil || e == nil {
		p.log.Error("pulse sent what is not understood", "reason", err, "bytes", len(msg))
		return true
	}
	return p.hand(e)
}

// receive reads one packet. A child that ends with messages of ours unread resets the connection, but what it said before is
// still there, behind the error.
func (p *Pulse) receive(b []byte) (int, error) {
	n, err := p.receiveOnce(b)
	if errors.Is(err, unix.ECONNRESET) {
		n, err = p.receiveOnce(b)
	}
	return n, err
}

// receiveOnce is conn.Read past the scheduler, whose monitor thread every system call would wake that it is told of.
func (p *Pulse) receiveOnce(b []byte) (n int, err error) {
	var errno syscall.Errno
	if err := p.raw.Read(func(fd uintptr) bool {
		for {
			if n, errno = recv(int(fd), b); errno != unix.EINTR {
				return errno != unix.EAGAIN
			}
		}
	}); err != nil {
		return 0, err
	}
	switch {
	case errno != 0:
		return 0, os.NewSyscallError("recvfrom", errno)
	case n == 0:
		return 0, io.EOF
	}
	return n, nil
}

// hand gives one event to main, unless the handle is closed.
func (p *Pulse) hand(e Event) bool {
	select {
	case <-p.stop:
		return false
	case <-p.ctx.Done():
		return false
	default:
	}
	select {
	case p.events <- e:
		return true
	case <-p.stop:
	case <-p.ctx.Done():
	}
	return false
}

// reap ends the child, if it has not ended itself, and returns how it ended.
func (p *Pulse) reap() error {
	if err := p.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		p.log.Error("end the pulse", "reason", err)
	}
	if err := p.cmd.Wait(); err != nil {
		return fmt.Errorf("pulse: the child ended: %w", err)
	}
	return fmt.Errorf("pulse: the child ended: %s", p.cmd.ProcessState)
}

// Events returns the channel of events. It closes after Died, or when Close or the context has ended the child.
func (p *Pulse) Events() <-chan Event { return p.events }

// Reconfigure replaces the configuration. Peers and interfaces that stay keep their state; leases go on. PinDir, Self, Cluster and
// Priority cannot change (ErrFixed).
func (p *Pulse) Reconfigure(cfg Config) error {
	if err := cfg.Validate(); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if cfg.PinDir != p.cfg.PinDir || cfg.Self != p.cfg.Self || cfg.Cluster != p.cfg.Cluster || cfg.Priority != p.cfg.Priority {
		return fmt.Errorf("%w: pin directory, member number, cluster id or priority", ErrFixed)
	}
	if err := p.configure(&cfg); err != nil {
		return err
	}
	p.cfg = cfg
	return nil
}

func (p *Pulse) configure(cfg *Config) error {
	return p.send(&command{kind: msgConfigure, config: cfg})
}

// Lease has the group's lease renewed under the term from now on. alone marks the member as alone, or takes the mark back; it
// may be called again to change it, and for a term that the gate serves already. A lease that was not renewed for the hard expiry (1 s),
// or a request that waited for that long, is refused (LostExpired): claim again, with a new term. It is a Word too. GateChanged
// answers.
func (p *Pulse) Lease(group uint8, term uint32, alone bool) error {
	return p.send(&command{kind: msgLease, group: group, term: term, alone: alone, at: bpf.Boottime()})
}

// Drop ends the group's lease: the gate closes (or lingers). GateChanged answers.
func (p *Pulse) Drop(group uint8) error { return p.send(&command{kind: msgDrop, group: group}) }

// Share has this member's share of the traffic renewed under the term from now on, by the table of slots with that number. It may be
// called again, for the next table or term and for a share that the gate holds already. One that was not renewed for the hard expiry
// (1 s), or a request that waited for that long, is refused (LostExpired) until a table newer than that comes. It is a Word too.
// ShareChanged answers.
func (p *Pulse) Share(term, number uint32) error {
	return p.send(&command{kind: msgShare, term: term, number: number, at: bpf.Boottime()})
}

// DropShare ends this member's share: the gate takes no traffic any more, or with lingers only what is on its way. ShareChanged answers.
func (p *Pulse) DropShare(lingers bool) error {
	return p.send(&command{kind: msgDropShare, lingers: lingers})
}

// Yield sends a YIELD on every interface. A YieldReply comes for each that is answered.
func (p *Pulse) Yield(r YieldRequest) error {
	ms := min(max(r.MinAge.Milliseconds(), 0), math.MaxUint32)
	return p.send(&command{kind: msgYield, target: r.Target, group: r.Group, term: r.Term, yield: r.Kind, minAgeMs: uint32(ms)})
}

// Query probes all peers on all interfaces now; each answer is handed on at once, as Heard with Query set.
func (p *Pulse) Query() error { return p.send(&command{kind: msgQuery}) }

// Close ends the child without touching the gate's words, and returns when it is reaped.
func (p *Pulse) Close() error {
	p.once.Do(func() {
		close(p.stop)
		_ = p.conn.Close() // the child's end may have been first
	})
	<-p.done
	return p.spoken.giveBack()
}

// send sends one message without waiting.
func (p *Pulse) send(c *command) error {
	if c.group >= MaxGroups || c.target >= MaxMembers {
		return fmt.Errorf("pulse: group %d, target %d: there are %d groups and %d members", c.group, c.target, MaxGroups, MaxMembers)
	}
	b := appendCommand(nil, c)
	var errno error
	err := p.raw.Write(func(fd uintptr) bool {
		_, errno = unix.SendmsgN(int(fd), b, nil, nil, unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
		return true // never wait for room
	})
	switch {
	case err != nil, errors.Is(errno, unix.EPIPE), errors.Is(errno, unix.ECONNRESET):
		return ErrClosed
	case errors.Is(errno, unix.EAGAIN):
		return ErrBusy
	case errno != nil:
		return fmt.Errorf("pulse: send to the child: %w", errno)
	}
	return nil
}
