// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"

	"github.com/holdfast-project/holdfast/lab/report"
)

// mostAgain is how many failures there may be for bad luck to explain them.
const mostAgain = 3

// again runs each scenario that failed so many times more, on a host that has nothing else to do by now, and marks its result as unsteady if it
// passed each time. It ends with the first failure, and runs nothing if there are too many, or one that nothing excuses. It returns results with
// the new ones behind them. See docs/decisions/022.
func again(results []report.Result, times int, run func(name string) report.Result, out io.Writer) []report.Result {
	var failed []int
	for i, res := range results {
		switch {
		case res.Excusable():
			failed = append(failed, i)
		case res.Failed():
			return results
		}
	}
	if len(failed) > mostAgain {
		return results
	}
	for _, i := range failed {
		name := results[i].Name
		fmt.Fprintf(out, "\n%s failed: it is run %d times again\n", name, times)
		for range times {
			res := run(name)
			results = append(results, res)
			if !res.Passed() {
				return results
			}
		}
		results[i].Unsteady = true
		fmt.Fprintf(out, "UNSTEADY: %s failed once, then passed %d times; what it missed stands above\n", name, times)
	}
	return results
}
