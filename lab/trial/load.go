// SPDX-License-Identifier: Apache-2.0

package trial

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"time"

	"github.com/holdfast-project/holdfast/lab/fault"
	"github.com/holdfast-project/holdfast/lab/topology"
)

// Stress keeps all processors and much memory of the host busy for some time. The only harm is that.
func Stress(name string, d time.Duration) Case {
	return Case{
		Name: name, Title: "16 busy processes and 4 GB of busy memory while %s serves", Hold: d,
		Harm: func(_ context.Context, st *Stage, _ string) (Undo, error) {
			s, err := fault.StartStress(st.System.Lab(), "--cpu", "16", "--vm", "2", "--vm-bytes", "2G", "--vm-keep")
			if err != nil {
				return nil, err
			}
			return func(context.Context) error { return s.Stop() }, nil
		},
	}
}

// Numbers of a flood.
const (
	ccpEtherType  = 0x88b5
	garbageFrames = 256
	garbageRate   = 100_000
	floodFor      = 2 * time.Second
)

// Flood sends 100,000 frames a second of garbage that looks like the cluster's protocol from a station of the first segment.
func Flood() Case {
	return Case{
		Name: "flood", Title: "100,000 forged frames a second while %s serves", Hold: floodFor,
		Harm: func(_ context.Context, st *Stage, _ string) (Undo, error) {
			lab := st.System.Lab()
			host := lab.OfKind(topology.Watcher)[0]
			f, err := fault.StartFlood(host.NS, host.Ports[0].Device, garbage(host.Ports[0].MAC), garbageRate)
			if err != nil {
				return nil, err
			}
			return func(context.Context) error { _, _, err := f.Stop(); return err }, nil
		},
	}
}

// garbage makes frames with the protocol's EtherType and plausible first bytes to all stations; the rest is random.
func garbage(from []byte) [][]byte {
	frames := make([][]byte, garbageFrames)
	for i := range frames {
		f := make([]byte, 14+104)
		_, _ = rand.Read(f) // never fails
		copy(f, []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff})
		copy(f[6:], from)
		binary.BigEndian.PutUint16(f[12:], ccpEtherType)
		f[14], f[15] = 1, byte(1+i%4) // version, one of the gate's types
		frames[i] = f
	}
	return frames
}
