// SPDX-License-Identifier: Apache-2.0

// Package manager is a member's way to the management server: enrolment by a one-time token, the certificate and its renewal, and the reports that
// bring orders back. It implements policyplane.Management.
//
// The member connects, never the server. One request is in flight that reports; the server answers it at once when it has orders that the member
// has not seen, and otherwise after about a second. What changes on the member is reported at once, over a second connection: the server answers the older
// report then, and both connections stay. Each report has a number, so that of two on their way the later one counts. Servers are
// tried one after another, with growing and scattered pauses. The first report after a commit goes over a new connection, so that it shows
// whether the new policy lets one be made.
//
// Key, certificate and authority rest in one file, identity.pem, mode 0600, which is written whole or not at all. A daemon that is not
// enrolled, or whose certificate was revoked, looks for a new one there.
package manager
