// SPDX-License-Identifier: Apache-2.0

package bench

// policyMetrics are the figures of the benchmark of policies, in the order of the rows. Those that other benchmarks have too stand in
// their lists: seconds.
var policyMetrics = []measureMetric{
	{"seconds", "s", false},
	{"one_seconds", "s", false},
	{"times_nft", "times", false},
	{"check_seconds", "s", false},
	{"prepare_seconds", "s", false},
	{"commit_seconds", "s", false},
	{"other_seconds", "s", false},
	{"confirm_seconds", "s", false},
	{"settle_seconds", "s", false},
}
