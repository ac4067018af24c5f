// SPDX-License-Identifier: Apache-2.0

package bench

// policyMetrics are the figures of the benchmark of policies, in the order of the rows. Of those that other benchmarks have
// too, theirs stand: seconds, rss_mb.
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
	{"cpu_percent", "percent", false},
	{"rss_mb", "MB", false},
	{"install_seconds", "s", false},
	{"install_one_seconds", "s", false},
}
