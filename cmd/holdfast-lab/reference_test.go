// SPDX-License-Identifier: Apache-2.0

package main

import (
	"testing"

	"github.com/holdfast-project/holdfast/internal/reference"
)

// TestDocumentedCommands: what the documentation tells people to type exists.
func TestDocumentedCommands(t *testing.T) {
	reference.Commands(t, root(new(options)), 5)
}
