/* SPDX-License-Identifier: GPL-2.0-only */
/* What the core decides; the entry points translate. */
#ifndef HOLDFAST_VERDICT_H
#define HOLDFAST_VERDICT_H

enum verdict {
	GATE_PASS, /* nothing of ours, or for a socket of ours */
	GATE_DROP,
	GATE_ANSWER, /* turned into its answer: send it back out of the same interface */
	GATE_ADMIT, /* for a VMAC: take it in as this host's own */
};

#endif
