// SPDX-License-Identifier: Apache-2.0

// Package link watches the host's interfaces, and sets on the host what the cluster needs: VIPs on lo, sysctls, the VMAC
// in the interfaces' filters, multicast groups (MLD for virtual addresses, IGMP where load is shared by a multicast MAC), policy rules.
//
// Watcher reports carrier, administrative state, MAC and addresses as the kernel tells them. Host applies a Desired state
// and keeps a record of every change on disk, written before the change is made, so that Restore takes back exactly
// that and nothing else, also after a crash. Everything works in the network namespace of the calling thread.
//
// It must not import another adapter, nor the node.
package link
