// SPDX-License-Identifier: Apache-2.0

package node

import "testing"

func TestCPUTimes(t *testing.T) {
	busy, total := cpuTimes([]byte("cpu  10 20 30 400 5 6 7 8 1000 1000"))
	if busy != 10+20+30+6+7+8 || total != busy+405 {
		t.Errorf("busy %d, total %d", busy, total)
	}
}

func TestCPULoad(t *testing.T) {
	var c cpuLoad
	for i, k := range []struct {
		busy, total uint64
		want        uint16
	}{
		{100, 1000, 100}, {150, 1100, 500}, {200, 1101, 1000}, {200, 1101, 1000}, {200, 1201, 0}, {10, 1301, 0},
	} {
		if c.take(k.busy, k.total); c.permille != k.want {
			t.Errorf("step %d: %d of 1000, want %d", i, c.permille, k.want)
		}
	}
}
