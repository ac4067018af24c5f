// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"math"
	"slices"
)

// trimmed is the part of the values that is left out at each end.
const trimmed = 0.2

// polishing is how often levels looks again; after a few times nothing changes any more.
const polishing = 10

// levels says how high each row of figures is, all of which are greater than 0, or NaN if they are not known: column k of all rows was measured at about
// the same time, and so what the machine did to all of them then is taken out first, as a factor. Beyond that, what is far off counts for nothing. It
// is Tukey's median polish of the logarithms, with a trimmed mean over the columns. A row without any figure has the level NaN.
func levels(rows [][]float64) []float64 {
	level := make([]float64, len(rows))
	columns := 0
	logs := make([][]float64, len(rows))
	for i, row := range rows {
		columns = max(columns, len(row))
		for _, v := range row {
			logs[i] = append(logs[i], math.Log(v))
		}
		level[i] = middle(logs[i])
	}
	common := make([]float64, columns)
	for range polishing {
		for k := range common {
			var of []float64
			for i, row := range logs {
				if k < len(row) {
					of = append(of, row[k]-level[i])
				}
			}
			common[k] = 0
			if of = known(of); len(of) > 0 {
				common[k] = median(of)
			}
		}
		// What is common is so on the whole: the levels are those of the usual time.
		usual := middle(common)
		for i, row := range logs {
			var of []float64
			for k, v := range row {
				of = append(of, v-common[k]+usual)
			}
			level[i] = middle(of)
		}
	}
	for i := range level {
		level[i] = math.Exp(level[i])
	}
	return level
}

// middle is the mean of those of the values that are known, without a part of them at each end; NaN if there are none.
func middle(values []float64) float64 {
	sorted := known(values)
	slices.Sort(sorted)
	off := int(float64(len(sorted)) * trimmed)
	sorted = sorted[off : len(sorted)-off]
	sum := 0.0
	for _, v := range sorted {
		sum += v
	}
	return sum / float64(len(sorted))
}

// known are those of the values that are not NaN.
func known(values []float64) []float64 { return slices.DeleteFunc(slices.Clone(values), math.IsNaN) }
