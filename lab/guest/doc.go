// SPDX-License-Identifier: Apache-2.0

// Package guest holds the tests that need a whole machine: systemd and its units, bonds, VLAN devices, a NIC driver with native XDP,
// an older kernel. They run in a Debian guest that scripts/guest boots under qemu, and are skipped elsewhere.
//
// It imports the laboratory's traffic and namespaces and the control client; nothing imports it.
package guest
