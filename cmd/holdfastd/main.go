// SPDX-License-Identifier: Apache-2.0

// Command holdfastd is a cluster member's daemon.
//
//	holdfastd -config FILE -member NAME    be that member
//	holdfastd -config FILE -check          check the file and exit
//	holdfastd pulse                        the heartbeat process, which holdfastd starts itself
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/holdfast-project/holdfast/internal/build"
	"github.com/holdfast-project/holdfast/internal/config"
	"github.com/holdfast-project/holdfast/internal/journal"
	"github.com/holdfast-project/holdfast/internal/node"
	"github.com/holdfast-project/holdfast/internal/pulse"
	"github.com/holdfast-project/holdfast/internal/slack"
)

// monitorSlack is how much later than it likes the runtime's monitor may look after goroutines in system calls. Main's own bounds are tens of
// milliseconds.
const monitorSlack = time.Millisecond

// exitRestart asks the service manager for another daemon (RestartForceExitStatus in deploy/holdfastd.service).
const exitRestart = 75

func main() {
	if len(os.Args) == 2 && os.Args[1] == "pulse" {
		os.Exit(pulse.Main())
	}
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

func run(args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("holdfastd", flag.ContinueOnError)
	flags.SetOutput(stderr)
	path := flags.String("config", "/etc/holdfast/cluster.yaml", "cluster configuration")
	member := flags.String("member", hostname(), "name of this member in the configuration")
	check := flags.Bool("check", false, "check the configuration, and the key file, and exit")
	version := flags.Bool("version", false, "print the version and exit")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return 0
		}
		return 2
	}
	switch {
	case flags.NArg() > 0:
		fmt.Fprintf(stderr, "holdfastd: unexpected argument %q\n", flags.Arg(0))
		return 2
	case *version:
		fmt.Fprintln(stdout, "holdfastd", build.Version)
		return 0
	case *check:
		named := false
		flags.Visit(func(f *flag.Flag) { named = named || f.Name == "member" })
		if !named {
			*member = ""
		}
		return checkConfig(*path, *member, stdout, stderr)
	}
	err := serve(*path, *member, stderr)
	if errors.Is(err, node.ErrRestart) {
		return exitRestart
	}
	if err != nil {
		journal.Complain(stderr, fmt.Sprint("holdfastd: ", err), journal.Journaled(stderr, os.Getenv))
		return 1
	}
	return 0
}

// checkConfig checks a file and, unless member is "", that it has that member.
func checkConfig(path, member string, stdout, stderr io.Writer) int {
	cfg, err := config.Load(path)
	if err == nil {
		_, err = config.LoadKey(cfg.KeyFile)
	}
	if err == nil && member != "" {
		_, err = cfg.For(member)
	}
	if err != nil {
		fmt.Fprintln(stderr, err)
		return 1
	}
	vips := 0
	for _, i := range cfg.Interfaces {
		vips += len(i.VIPs)
	}
	fmt.Fprintf(stdout, "%s: cluster %s (%d), %d members, %d interfaces, %d virtual addresses: ok\n",
		path, cfg.Name, cfg.ID, len(cfg.Members), len(cfg.Interfaces), vips)
	for _, w := range append(cfg.Hidden(""), cfg.Doubts()...) {
		fmt.Fprintln(stderr, "warning:", w)
	}
	return 0
}

func serve(path, member string, stderr io.Writer) error {
	cfg, err := config.Load(path) // for the log level; the node reads it itself
	if err != nil {
		return err
	}
	level := new(slog.LevelVar)
	level.Set(cfg.LogLevel)
	log := slog.New(journal.Handler(stderr, level, journal.Journaled(stderr, os.Getenv)))
	keeper, err := slack.Monitor(monitorSlack)
	if err != nil {
		log.Info("the daemon costs more at rest than it has to", "reason", err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	err = node.Run(ctx, node.Options{Config: path, Member: member, Log: log, Level: level, Hangup: hangup, EverySecond: keeper.Keep})
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

func hostname() string {
	name, err := os.Hostname()
	if err != nil {
		return ""
	}
	return name
}
