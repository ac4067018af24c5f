// SPDX-License-Identifier: Apache-2.0

package nft

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Problem is one thing that nft, or the kernel, says of a ruleset.
type Problem struct {
	File string // as the operator calls it
	Line int    // in it; 0: not known
	What string
}

// String is FILE:LINE: what.
func (p Problem) String() string {
	if p.Line == 0 {
		return p.File + ": " + p.What
	}
	return p.File + ":" + strconv.Itoa(p.Line) + ": " + p.What
}

// RulesetError is a ruleset that cannot be loaded. Nothing was changed.
type RulesetError struct {
	Problems []Problem // at least one, at most 20
}

// Error implements error.
func (e *RulesetError) Error() string {
	var all []string
	for _, p := range e.Problems {
		all = append(all, p.String())
	}
	return strings.Join(all, "\n")
}

const (
	maxProblems = 20
	// nftTime bounds one run of nft: 10,000 rules and 100,000 elements take it a second.
	nftTime = 2 * time.Minute
	maxTold = 64 << 10 // bytes of its complaints that are read
	gentle  = 10       // nice(2)
)

// within runs f on a thread in the namespace; 0 is the caller's own. The thread is not used again.
func within(namespace int, f func() error) error {
	if namespace == 0 {
		return f()
	}
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // and never unlock it: the runtime ends the thread with the goroutine
		if err := unix.Setns(namespace, unix.CLONE_NEWNET); err != nil {
			done <- fmt.Errorf("enter the network namespace: %w", err)
			return
		}
		done <- f()
	}()
	return <-done
}

// nft runs the command with text as its input and returns what it prints.
func (k *Kernel) nft(ctx context.Context, input string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, nftTime)
	defer cancel()
	var out bytes.Buffer
	errs := &bounded{most: maxTold}
	cmd := exec.CommandContext(ctx, k.options.Command, args...) //nolint:gosec // the command is configured by who starts this process
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C"}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(input), &out, errs
	// The namespace is that of the thread that forks.
	if err := within(k.options.Namespace, cmd.Start); err != nil {
		return "", fmt.Errorf("run %s: %w", k.options.Command, err)
	}
	if k.options.Gentle {
		_ = unix.Setpriority(unix.PRIO_PROCESS, cmd.Process.Pid, gentle)
	}
	if err := cmd.Wait(); err != nil {
		if ctx.Err() != nil {
			return "", fmt.Errorf("run %s %s: %w", k.options.Command, strings.Join(args, " "), ctx.Err())
		}
		return "", &toldError{errs.String(), err}
	}
	return out.String(), nil
}

// toldError is what nft complained of.
type toldError struct {
	text string
	err  error
}

func (e *toldError) Error() string {
	first, _, _ := strings.Cut(strings.TrimSpace(e.text), "\n")
	return fmt.Sprintf("nft: %v: %s", e.err, first)
}

func (e *toldError) Unwrap() error { return e.err }

// bounded keeps the beginning of what is written to it.
type bounded struct {
	bytes.Buffer
	most int
}

func (b *bounded) Write(p []byte) (int, error) {
	b.Buffer.Write(p[:min(len(p), b.most-b.Len())])
	return len(p), nil
}

var location = regexp.MustCompile(`^(?:/dev/stdin|<cmdline>|-):([0-9]+):[0-9]+-[0-9]+: (.*)$`)

// problems translates nft's complaints to the operator's file and lines. lines precede the operator's first one; names are those of the
// definitions there.
func problems(file string, lines int, names []string, err error) error {
	var told *toldError
	if !errors.As(err, &told) {
		return err
	}
	var all []Problem
	for _, l := range strings.Split(told.text, "\n") {
		m := location.FindStringSubmatch(l)
		if m == nil {
			continue
		}
		n, _ := strconv.Atoi(m[1])
		p := Problem{File: file, Line: n - lines, What: strings.TrimPrefix(m[2], "Error: ")}
		if n <= lines && n > 0 && n <= len(names) {
			p.Line, p.What = 0, "definition $"+names[n-1]+", supplied by Holdfast: "+p.What
		}
		if len(all) < maxProblems {
			all = append(all, p)
		}
	}
	if len(all) == 0 {
		first, _, _ := strings.Cut(strings.TrimSpace(told.text), "\n")
		all = []Problem{{File: file, What: strings.TrimPrefix(first, "Error: ") + " (" + told.err.Error() + ")"}}
	}
	return &RulesetError{all}
}
