// SPDX-License-Identifier: Apache-2.0

// Package sdnotify tells systemd how the daemon is: ready, alive, stopping. It speaks the sd_notify protocol (one datagram
// of NAME=value lines to the socket named by NOTIFY_SOCKET) and nothing else. It must not import any other package of the module.
// Without NOTIFY_SOCKET every call does nothing and succeeds.
package sdnotify
