// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/holdfast-project/holdfast/internal/terminal"
	"github.com/holdfast-project/holdfast/internal/usage"
	"github.com/holdfast-project/holdfast/management/api"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], environment{in: os.Stdin, out: os.Stdout, err: os.Stderr, getenv: os.Getenv, now: time.Now, zone: time.Local, width: terminal.Width(os.Stdout)})
	stop()
	os.Exit(code)
}

// environment is what a command may touch besides files and the network, so that tests run whole commands in their own process.
type environment struct {
	in       io.Reader
	out, err io.Writer
	getenv   func(string) string
	now      func() time.Time
	zone     *time.Location
	width    int // columns of the terminal that out is, 0 if it is none
}

// Exit codes.
const (
	exitOK    = 0
	exitError = 1 // it was refused or failed
	exitUsage = 2 // it was not understood
)

func run(ctx context.Context, args []string, env environment) int {
	root := newRoot(env)
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err != nil && strings.HasPrefix(err.Error(), "unknown command") { // cobra has no type for it
		err = usage.New(err)
	}
	var misused *usage.Error
	var refused *api.Error
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, errReported):
		return exitError
	case errors.As(err, &misused):
		fmt.Fprintln(env.err, "holdfast-mgmt:", err)
		return exitUsage
	case errors.As(err, &refused):
		fmt.Fprintln(env.err, "holdfast-mgmt:", err)
		for _, d := range refused.Details {
			fmt.Fprintln(env.err, " ", d)
		}
		return exitError
	default:
		fmt.Fprintln(env.err, "holdfast-mgmt:", err)
		return exitError
	}
}

// errReported is a failure that the command has told about already.
var errReported = errors.New("reported")
