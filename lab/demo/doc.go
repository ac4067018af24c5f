// SPDX-License-Identifier: Apache-2.0

// Package demo shows on a terminal what a Holdfast cluster does when it is broken: three members in the laboratory, one fault
// after the other, the traffic and the answers around each, and a table at the end.
//
// It puts lab/trial before a person's eyes and measures nothing by itself.
package demo
