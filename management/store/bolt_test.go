// SPDX-License-Identifier: Apache-2.0

package store

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// crashChild is the environment variable that makes of the test's own binary a writer that is to be killed.
const crashChild = "HOLDFAST_STORE_CRASH"

// writeUntilKilled says on its output what has been acknowledged.
func writeUntilKilled() {
	s, err := OpenFile(os.Getenv(crashChild))
	for err == nil {
		err = s.Update(context.Background(), func(tx Tx) error {
			if err := increment(tx, "a"); err != nil {
				return err
			}
			return increment(tx, "b")
		})
		if err == nil {
			fmt.Println("done")
		}
	}
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

func TestFileSurvivesKill(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store")
	acknowledged := 0
	for range 5 {
		child := exec.Command(os.Args[0], "-test.run=^$")
		child.Env = append(os.Environ(), crashChild+"="+path)
		child.Stderr = os.Stderr
		out, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for n := 0; lines.Scan(); n++ {
			acknowledged++
			if n == 5 {
				_ = child.Process.Kill() // what it wrote until it died is read to the end
			}
		}
		_ = child.Wait()
		s := mustOpen(t, path)
		a, err := value(t, s, "a")
		if err != nil {
			t.Fatal(err)
		}
		b, err := value(t, s, "b")
		if n, _ := strconv.Atoi(a); err != nil || a != b || n < acknowledged || n > acknowledged+1 {
			t.Fatalf("a=%s b=%s, %v, after %d changes were acknowledged", a, b, err, acknowledged)
		} else {
			acknowledged = n
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestFileInUse(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "store")
	child := exec.Command(os.Args[0], "-test.run=^$")
	child.Env = append(os.Environ(), crashChild+"="+path)
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	defer child.Wait()
	defer child.Process.Kill()
	bufio.NewScanner(out).Scan()
	if _, err := OpenFile(path); !errors.Is(err, ErrInUse) {
		t.Errorf("a file that another process has: %v", err)
	}
}

func TestFileDamaged(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store")
	if err := os.WriteFile(path, []byte(strings.Repeat("no database ", 4096)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenFile(path); !errors.Is(err, ErrDamaged) {
		t.Errorf("a file that is no store: %v", err)
	}
	if _, err := Open(t.Context(), "redis://x"); !errors.Is(err, ErrFormat) {
		t.Errorf("another kind of store: %v", err)
	}
}

func TestFormat(t *testing.T) {
	onBoth(t, func(t *testing.T, a, b Store) {
		err := a.(base).update(t.Context(), func(snapshot) ([]write, error) {
			return []write{{stateKey, []byte(`{"format":2}`)}}, nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := value(t, b, "x"); !errors.Is(err, ErrFormat) {
			t.Errorf("a newer format is read: %v", err)
		}
		if err := b.Update(t.Context(), func(Tx) error { return nil }); !errors.Is(err, ErrFormat) {
			t.Errorf("a newer format is changed: %v", err)
		}
	})
}
