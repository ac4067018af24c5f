// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"errors"
	"fmt"
	"io"

	"github.com/holdfast-project/holdfast/lab/report"
)

// WriteMetrics writes the rows as one table for a person, a line for each case, system and metric.
func (r Result) WriteMetrics(w io.Writer, s report.Style) error {
	table := report.Table{Columns: []string{"case", "system", "metric", "unit", "n", "median", "worst"}}
	for _, row := range r.Rows {
		table.Add(false, row.Case, row.System, row.Metric, row.Unit, fmt.Sprint(row.N), fine(row.Median), fine(row.Worst))
	}
	if err := errors.Join(table.Write(w, s), r.writeRatios(w, s)); err != nil {
		return err
	}
	for _, f := range r.Failures {
		if _, err := fmt.Fprintf(w, "round %d, %s: %s\n", f.Round, f.System, f.Error); err != nil {
			return err
		}
	}
	return nil
}

// markdownMetrics writes the same table in Markdown.
func (r Result) markdownMetrics(w io.Writer) error {
	p := func(format string, a ...any) error { _, err := fmt.Fprintf(w, format, a...); return err }
	errs := []error{
		p("%d rounds on %d processors, Linux %s, %s (load %.1f before)\n\n", r.Rounds, r.Host.CPUs, r.Host.Kernel, r.Started.Format("2006-01-02"), r.Host.Load),
		p("| case | system | metric | unit | n | median | worst |\n|---|---|---|---|---|---|---|\n"),
	}
	for _, row := range r.Rows {
		errs = append(errs, p("| %s | %s | %s | %s | %d | %s | %s |\n", row.Case, row.System, row.Metric, row.Unit, row.N, fine(row.Median), fine(row.Worst)))
	}
	return errors.Join(append(errs, r.markdownRatios(w))...)
}

// fine is a figure of any size: with decimals where it is small.
func fine(v float64) string {
	if v >= 1000 {
		return fmt.Sprintf("%.0f", v)
	}
	return fmt.Sprintf("%.2f", v)
}
