// SPDX-License-Identifier: Apache-2.0

// Package arch holds no code: its tests read the tree and enforce what docs/ARCHITECTURE.md says of it (directions of imports,
// purity, package comments, licences).
package arch
