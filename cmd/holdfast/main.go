// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/holdfast-project/holdfast/internal/control"
	"github.com/holdfast-project/holdfast/internal/terminal"
	"github.com/holdfast-project/holdfast/internal/usage"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args, environment{
		in: os.Stdin, out: os.Stdout, err: os.Stderr, getenv: os.Getenv, now: time.Now, zone: time.Local,
		terminal: terminal.Is(os.Stdout), width: terminal.Width(os.Stdout),
	})
	stop()
	os.Exit(code)
}

// environment is what a command may touch besides the socket, so that tests run whole commands in their own process.
type environment struct {
	in       io.Reader
	out, err io.Writer
	getenv   func(string) string
	now      func() time.Time
	zone     *time.Location
	terminal bool // out is one, so colours and redrawing make sense
	width    int  // of the terminal, in columns; 0 means 80
}

// Exit codes.
const (
	exitOK    = 0
	exitError = 1 // it was refused or failed
	exitUsage = 2 // it was not understood
)

// run executes one command line, args[0] being the name it was called by.
func run(ctx context.Context, args []string, env environment) int {
	var err error
	switch name := filepath.Base(args[0]); name {
	case "cphaprob", "cphaconf":
		err = cphaprob(ctx, &app{environment: env, socket: socketPath(env)}, name, args[1:])
	default:
		root := newRoot(env)
		root.SetArgs(args[1:])
		err = root.ExecuteContext(ctx)
	}
	if err != nil && strings.HasPrefix(err.Error(), "unknown command") { // cobra has no type for it
		err = usage.New(err)
	}
	var misused *usage.Error
	switch {
	case err == nil, errors.Is(err, context.Canceled) && ctx.Err() != nil: // Ctrl-C ends --watch and --follow
		return exitOK
	case errors.As(err, &misused):
		fmt.Fprintln(env.err, "holdfast:", err)
		return exitUsage
	case errors.Is(err, errReported):
		return exitError
	default:
		fmt.Fprintln(env.err, "holdfast:", err)
		return exitError
	}
}

// errReported is a failure that the command has told about already.
var errReported = errors.New("reported")

func socketPath(env environment) string {
	if s := env.getenv("HOLDFAST_SOCKET"); s != "" {
		return s
	}
	return control.DefaultSocket
}
