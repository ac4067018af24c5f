// SPDX-License-Identifier: Apache-2.0

package pulse

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/holdfast-project/holdfast/bpf"
)

// wordLate is how old main's last word may be for the next to be no news. Where it is older the pulse is told, for it may have leases to renew
// again; else it finds the word when it looks, every probe interval, and nobody wakes for it.
const wordLate = 200 * time.Millisecond

// wordSize is one page, of which the first eight bytes are used.
const wordSize = 4096

// spoken is main's end of the memory that it keeps its word in.
type spoken struct {
	mu     sync.Mutex
	memory []byte // nil once it was given back
}

// newSpoken makes that memory, and the file that the child finds it by.
func newSpoken() (_ *spoken, _ *os.File, err error) {
	fd, err := unix.MemfdCreate("holdfast-word", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return nil, nil, fmt.Errorf("memory to share with the child: %w", err)
	}
	file := os.NewFile(uintptr(fd), "word")
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("memory to share with the child: %w", err), file.Close())
		}
	}()
	if err = unix.Ftruncate(fd, wordSize); err != nil {
		return nil, nil, err
	}
	// Memory that shrinks kills who reads it.
	if _, err = unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, unix.F_SEAL_SHRINK|unix.F_SEAL_GROW|unix.F_SEAL_SEAL); err != nil {
		return nil, nil, err
	}
	memory, err := unix.Mmap(fd, 0, wordSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, nil, err
	}
	return &spoken{memory: memory}, file, nil
}

// say puts the word down, and reports whether the child is to be told of it.
func (s *spoken) say(now int64) (tell bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.memory == nil {
		return false
	}
	return now-wordIn(s.memory).Swap(now) > int64(wordLate)
}

// giveBack ends the use of the memory.
func (s *spoken) giveBack() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.memory == nil {
		return nil
	}
	memory := s.memory
	s.memory = nil
	return unix.Munmap(memory)
}

// listenTo is the child's end.
func listenTo(fd int) (*atomic.Int64, error) {
	memory, err := unix.Mmap(fd, 0, wordSize, unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("open the memory that the daemon keeps its word in: %w", err)
	}
	return wordIn(memory), nil
}

func wordIn(memory []byte) *atomic.Int64 {
	return (*atomic.Int64)(unsafe.Pointer(unsafe.SliceData(memory)))
}

// Word says that main's loop lives. Leases are renewed only while the last Word is younger than WordMax.
func (p *Pulse) Word() {
	if p.spoken.say(bpf.Boottime()) {
		_ = p.word() // where it does not get through, the pulse finds the word a moment later
	}
}

func (p *Pulse) word() error { return p.send(&command{kind: msgWord, at: bpf.Boottime()}) }
