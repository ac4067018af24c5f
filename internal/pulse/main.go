// SPDX-License-Identifier: Apache-2.0

package pulse

// Main is the pulse process: cmd/holdfastd calls it when its first argument is "pulse", and exits with what it returns.
func Main() int { return 2 }
