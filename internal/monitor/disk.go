// SPDX-License-Identifier: Apache-2.0

package monitor

import (
	"context"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/holdfast-project/holdfast/internal/monitor/verdict"
)

// disk checks the filesystem of a path.
type disk struct {
	polled
	Disk
}

func (d *disk) check(context.Context) verdict.Result {
	var st unix.Statfs_t
	if err := unix.Statfs(d.Path, &st); err != nil {
		return verdict.Wrong(fmt.Sprintf("%s: %v", d.Path, err))
	}
	if st.Flags&unix.ST_RDONLY != 0 && !d.ReadOnly {
		return verdict.Wrong(d.Path + " is mounted read-only")
	}
	if r := below(d.Path, "space", st.Bavail, st.Blocks, d.MinFree); r != "" {
		return verdict.Wrong(r)
	}
	if r := below(d.Path, "inodes", st.Ffree, st.Files, d.MinInodes); r != "" {
		return verdict.Wrong(r)
	}
	if d.Write {
		if err := writeTest(d.Path); err != nil {
			return verdict.Wrong(fmt.Sprintf("write test: %v", err))
		}
	}
	return verdict.Fine()
}

// below says that less than least percent of all is free. A filesystem that does not count (all is 0) has no bound.
func below(path, what string, free, all uint64, least float64) string {
	if least == 0 || all == 0 {
		return ""
	}
	if percent := 100 * float64(free) / float64(all); percent < least {
		return fmt.Sprintf("%s: %.0f %% of the %s free, less than %g %%", path, percent, what, least)
	}
	return ""
}

// writeTest writes a block that is on disk before it returns, and removes it.
func writeTest(dir string) (err error) {
	f, err := os.CreateTemp(dir, ".holdfast-write-test-*")
	if err != nil {
		return err
	}
	defer func() {
		if e := os.Remove(f.Name()); err == nil {
			err = e
		}
	}()
	_, err = f.Write(make([]byte, 4096))
	if e := f.Sync(); err == nil {
		err = e
	}
	if e := f.Close(); err == nil {
		err = e
	}
	return err
}
