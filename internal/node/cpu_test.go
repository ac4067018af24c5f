// SPDX-License-Identifier: Apache-2.0

package node

import "testing"

func TestCPUTimes(t *testing.T) {
	busy, total := cpuTimes([]byte("cpu  10 20 30 400 5 6 7 8 1000 1000"))
	if busy != 10+20+30+6+7+8 || total != busy+405 {
		t.Errorf("busy %d, total %d", busy, total)
	}
}
