// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/holdfast-project/holdfast/internal/control"
)

// registerFile registers all devices that a file lists, or none.
func (a *app) registerFile(ctx context.Context, path string, persist bool) error {
	in, name := a.in, "standard input"
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer func() { _ = f.Close() }()
		in, name = f, path
	}
	all, err := readDevices(name, in, persist)
	if err != nil {
		return err
	}
	return a.verb(ctx, func(c *control.Client, ctx context.Context) (control.Result, error) {
		return c.ManyDevices(ctx, control.DevicesRequest{Requests: all})
	})
}

// readDevices reads lines "name timeout state" and returns every mistake in them, each with its place.
func readDevices(file string, in io.Reader, persist bool) ([]control.DeviceRequest, error) {
	var all []control.DeviceRequest
	var errs []error
	seen := map[string]int{}
	lines := bufio.NewScanner(in)
	for n := 1; lines.Scan(); n++ {
		line, _, _ := strings.Cut(lines.Text(), "#")
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		r, err := readDevice(words)
		r.Persistent = persist
		if first, twice := seen[r.Name]; err == nil && twice {
			err = control.Invalid("device "+r.Name+" is listed in line "+strconv.Itoa(first)+" already", "keep one of the lines")
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s:%d: %w", file, n, err))
			continue
		}
		seen[r.Name] = n
		all = append(all, r)
	}
	if err := lines.Err(); err != nil {
		errs = append(errs, fmt.Errorf("%s: %w", file, err))
	}
	switch {
	case len(errs) > 0:
		return nil, errors.Join(append(errs, errors.New("nothing was registered"))...)
	case len(all) == 0:
		return nil, fmt.Errorf("%s lists no device; write lines such as \"db 30s init\"", file)
	case len(all) > control.MaxDevices:
		return nil, fmt.Errorf("%s lists %d devices; a member has %d at most", file, len(all), control.MaxDevices)
	}
	return all, nil
}

func readDevice(words []string) (control.DeviceRequest, error) {
	r := control.DeviceRequest{Action: "register"}
	if len(words) != 3 {
		return r, control.Invalid(strconv.Itoa(len(words))+" words", "write name, timeout and state: db 30s init")
	}
	r.Name, r.Status = words[0], words[2]
	timeout, err := time.ParseDuration(words[1])
	if seconds, e := strconv.ParseFloat(words[1], 64); e == nil {
		timeout, err = time.Duration(seconds*float64(time.Second)), nil
	}
	if err != nil {
		return r, control.Invalid("timeout "+strconv.Quote(words[1]), "write 5s, 1m, a number of seconds, or 0 for never")
	}
	r.Timeout = control.Duration(timeout)
	return r, r.Validate()
}
