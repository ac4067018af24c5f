// SPDX-License-Identifier: Apache-2.0

// Package journal writes log lines as the systemd journal wants them on a program's standard error: with their priority in front, so that
// "journalctl -p warning" finds them, and without the time, which the journal has (sd-daemon(3)). Elsewhere they are slog's plain text. It
// must not import any other package of the module.
package journal
