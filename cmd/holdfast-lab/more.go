// SPDX-License-Identifier: Apache-2.0

package main

import "github.com/spf13/cobra"

// more are the commands beside scenarios.
func more(o *options) []*cobra.Command { return []*cobra.Command{benchCommand(o), demoCommand(o)} }
