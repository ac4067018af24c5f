// SPDX-License-Identifier: Apache-2.0

package monitor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"regexp"
	"time"

	"github.com/holdfast-project/holdfast/internal/monitor/verdict"
	"github.com/holdfast-project/holdfast/internal/regularfile"
)

// fileRead is how much of a file is searched.
const fileRead = 1 << 20

// file checks a file.
type file struct {
	polled
	File
}

func (f *file) check(context.Context) verdict.Result {
	info, err := os.Stat(f.Path)
	switch {
	case f.Absent && errors.Is(err, fs.ErrNotExist):
		return verdict.Fine()
	case f.Absent && err == nil:
		return verdict.Wrong(f.Path + " exists")
	case errors.Is(err, fs.ErrNotExist):
		return verdict.Wrong(f.Path + " does not exist")
	case err != nil:
		return verdict.Wrong(err.Error())
	}
	if age := time.Since(info.ModTime()); f.MaxAge > 0 && age > f.MaxAge {
		return verdict.Wrong(fmt.Sprintf("%s has not changed for more than %v", f.Path, f.MaxAge))
	}
	if f.Match == "" {
		return verdict.Fine()
	}
	wanted, err := regexp.Compile(f.Match)
	if err != nil {
		return verdict.Wrong(err.Error())
	}
	text, err := head(f.Path, fileRead)
	if err != nil {
		return verdict.Wrong(err.Error())
	}
	if !wanted.Match(text) {
		return verdict.Wrong(fmt.Sprintf("%s does not match %q", f.Path, f.Match))
	}
	return verdict.Fine()
}

// head reads the beginning of a regular file.
func head(path string, most int64) ([]byte, error) {
	f, _, err := regularfile.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, most))
}
