// SPDX-License-Identifier: Apache-2.0

// Package report turns what happened in the laboratory into something to read: a timeline for people, JSON for programs, JUnit XML
// for continuous integration, and tables.
//
// It knows times, texts and verdicts only. It imports nothing of the laboratory, so that everything there can use it, and starts
// nothing: a caller's events go in, text comes out.
package report
