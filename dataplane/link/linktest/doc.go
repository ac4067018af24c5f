// SPDX-License-Identifier: Apache-2.0

// Package linktest gives tests of the data plane network namespaces of their own, joined by veth pairs and bridges. The
// namespaces have no name: they vanish with the last handle, also when the test process is killed.
package linktest
