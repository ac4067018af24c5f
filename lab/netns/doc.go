// SPDX-License-Identifier: Apache-2.0

// Package netns owns the laboratory's network namespaces: making one, doing something inside it, starting a process
// inside it, and letting it go.
//
// A namespace here has no name in the file system. It lives while this process holds a descriptor of it or a process
// runs in it, so a laboratory that is killed leaves none behind: the kernel takes back the namespace, and with it every
// interface, route and filter in it. Processes are started by one thread that lives as long as this process, with
// SIGKILL as their parent-death signal, so they go too.
//
// It must not import any other package of the laboratory or of the product.
package netns
