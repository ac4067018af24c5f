// SPDX-License-Identifier: Apache-2.0

package monitor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"

	"github.com/holdfast-project/holdfast/internal/monitor/verdict"
)

// answerRead is how much of an answer is searched.
const answerRead = 64 << 10

// tcp checks that a port accepts connections, and what it says.
type tcp struct {
	polled
	TCP
}

func (t *tcp) check(ctx context.Context) verdict.Result {
	c, err := t.From.dial(ctx, "tcp", t.Address)
	if err != nil {
		return verdict.Wrong(t.Address + ": " + inWords(ctx, err))
	}
	defer c.Close()
	if deadline, ok := ctx.Deadline(); ok {
		_ = c.SetDeadline(deadline)
	}
	stop := context.AfterFunc(ctx, func() { _ = c.Close() })
	defer stop()
	if _, err := io.WriteString(c, t.Send); err != nil && t.Send != "" {
		return verdict.Wrong(t.Address + ": send: " + inWords(ctx, err))
	}
	if t.Expect == "" {
		return verdict.Fine()
	}
	if err := await(c, []byte(t.Expect)); err != nil {
		return verdict.Wrong(fmt.Sprintf("%s: %q did not come: %s", t.Address, t.Expect, inWords(ctx, err)))
	}
	return verdict.Fine()
}

// await reads until text has come.
func await(r io.Reader, text []byte) error {
	var got []byte
	buf := make([]byte, 4096)
	for {
		n, err := r.Read(buf)
		got = append(got, buf[:n]...)
		switch {
		case bytes.Contains(got, text):
			return nil
		case errors.Is(err, io.EOF):
			return errors.New("closed")
		case err != nil:
			return err
		case len(got) > answerRead:
			return fmt.Errorf("%d bytes of something else came", len(got))
		}
	}
}

// inWords says what an operator wants to know of a network error: not the addresses again, and not Go's words for a timeout.
func inWords(ctx context.Context, err error) string {
	if errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded) || ctx.Err() != nil {
		return "no answer within the timeout"
	}
	var number syscall.Errno
	if errors.As(err, &number) {
		return number.Error()
	}
	var op *net.OpError
	if errors.As(err, &op) {
		return op.Err.Error()
	}
	return err.Error()
}
