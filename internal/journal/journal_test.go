// SPDX-License-Identifier: Apache-2.0

package journal

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestHandler(t *testing.T) {
	var b bytes.Buffer
	log := slog.New(Handler(&b, slog.LevelInfo, true)).With("member", "fw1").WithGroup("g")
	log.Debug("not at this level")
	log.Info("plain", "time", 1)
	log.Warn("slow")
	log.Error("broken", "error", "no disk")
	want := `<6>msg=plain member=fw1 g.time=1
<4>msg=slow member=fw1
<3>msg=broken member=fw1 g.error="no disk"
`
	if b.String() != want {
		t.Errorf("written:\n%swant:\n%s", b.String(), want)
	}
	b.Reset()
	slog.New(Handler(&b, slog.LevelInfo, false)).Warn("slow")
	if !strings.HasPrefix(b.String(), "time=") || !strings.Contains(b.String(), "level=WARN msg=slow") {
		t.Errorf("elsewhere: %s", b.String())
	}
}

func TestComplain(t *testing.T) {
	for journaled, want := range map[bool]string{false: "a\nb\n", true: "<3>a\n<3>b\n"} {
		var b bytes.Buffer
		Complain(&b, "a\nb", journaled)
		if b.String() != want {
			t.Errorf("journaled %v: %q", journaled, b.String())
		}
	}
}

func TestJournaled(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "stream"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	s := info.Sys().(*syscall.Stat_t)
	for _, c := range []struct {
		stream string
		want   bool
	}{{fmt.Sprintf("%d:%d", s.Dev, s.Ino), true}, {fmt.Sprintf("%d:%d", s.Dev, s.Ino+1), false}, {"", false}} {
		if got := Journaled(f, func(string) string { return c.stream }); got != c.want {
			t.Errorf("JOURNAL_STREAM=%q: %v", c.stream, got)
		}
	}
	if Journaled(&bytes.Buffer{}, func(string) string { return "" }) {
		t.Error("a buffer is no journal, with JOURNAL_STREAM unset neither")
	}
}
