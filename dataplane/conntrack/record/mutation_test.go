// SPDX-License-Identifier: Apache-2.0

package record

import (
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/holdfast-project/holdfast/dataplane/link/linktest"
	"github.com/holdfast-project/holdfast/internal/labtest"
)

// mutations calls f with every record of the captures, changed in small ways: each byte flipped, cut off, and at random.
func mutations(t testing.TB, f func(Record)) {
	t.Helper()
	rng := rand.New(rand.NewPCG(1, 1)) //nolint:gosec // a test
	for _, c := range load(t) {
		for _, m := range c.messages() {
			r := recordOf(t, m)
			good := r.Attrs
			for i := range good {
				for _, x := range []byte{1, 0x80, 0xff, byte(rng.Uint32())} {
					r.Attrs = slices.Clone(good)
					r.Attrs[i] ^= x
					f(r)
				}
				r.Attrs = good[:i]
				f(r)
			}
		}
	}
}

// TestMutations: nothing that Checker takes of them troubles anybody, and no tuple disappears from a delete.
func TestMutations(t *testing.T) {
	taken, refused := 0, map[Reason]int{}
	mutations(t, func(r Record) {
		err := new(Checker).Check(r)
		if err != nil {
			refused[ReasonOf(err)]++
			_ = Text(r)
			return
		}
		taken++
		readable(t, r)
	})
	if taken < 1000 || len(refused) < 12 {
		t.Errorf("%d taken, refused %v: these mutations show nothing", taken, refused)
	}
}

// TestKernelBearsMutations gives a kernel what Checker takes of them: whatever it answers, it goes on, its table can be dumped, every entry of
// it passes Checker, and nothing but the order to delete deletes.
func TestKernelBearsMutations(t *testing.T) {
	labtest.Require(t, "nft")
	n := linktest.New(t)
	n.Run("nft", `table inet t { ct helper ftp { type "ftp" protocol tcp; }; chain c { type filter hook forward priority 0; ct label 1; };
		chain n { type nat hook postrouting priority 0; }; }`)
	k := openKernel(t, n, 0)
	witness := connection(protoUDP, "192.0.2.1", "192.0.2.2", 9, 9)
	create(t, k, witness)
	step, answers := 0, map[error]int{}
	mutations(t, func(r Record) {
		if step++; step%7 != 0 || new(Checker).Check(r) != nil {
			return
		}
		switch r.Op {
		case OpNew:
			answers[k.ask(newType(r), unix.NLM_F_CREATE|unix.NLM_F_EXCL, r.Family, r.AppendCreate(nil))]++
		case OpUpdate:
			answers[k.ask(newType(r), 0, r.Family, r.AppendUpdate(nil))]++
		case OpDelete:
			if step%679 == 0 { // most stay
				answers[k.ask(newType(r)|2, 0, r.Family, r.AppendDelete(nil))]++
			}
		}
	})
	found := false
	dump := append(k.dump(1), k.dump(2)...)
	for _, m := range dump {
		r := recordOf(t, m)
		if err := new(Checker).Check(r); err != nil {
			t.Errorf("%v: %s", err, Text(r))
		}
		o, _ := Original(r)
		w, _ := Original(witness)
		found = found || o == w
		var a raw
		_ = a.collect(m.payload[nfgenmsgLen:], ^uint64(0))
		if seconds, ok := a.number(ctaTimeout); r.Table == TableConnections && ok && seconds > CopyTimeout {
			t.Errorf("%d s: %s", seconds, Text(r))
		}
	}
	if !found || len(dump) < 15 || answers[nil] < 100 {
		t.Errorf("witness %v, %d entries, answers %v", found, len(dump), answers)
	}
	t.Logf("%d entries; answers %v", len(dump), answers)
}

// TestKernelMessagesMutated: what FromMessage takes of a kernel's changed words is still a record.
func TestKernelMessagesMutated(t *testing.T) {
	for _, c := range load(t) {
		for _, m := range c.messages() {
			for i := range m.payload {
				p := slices.Clone(m.payload)
				p[i] ^= 0xff
				r, err := FromMessage(nil, m.typ, m.flags, p)
				if err != nil {
					continue
				}
				switch reason := ReasonOf(new(Checker).Check(r)); reason {
				case ReasonNone, ReasonAddress, ReasonZone:
				default:
					t.Fatalf("%s, byte %d: refused (%s): %s", c.name, i, reason, describe(r))
				}
			}
		}
	}
	for _, test := range []struct {
		typ     uint16
		payload []byte
		want    Reason
	}{
		{0x0103, nil, ReasonTable}, {0x0300, nil, ReasonTable}, {3, nil, ReasonTable},
		{msgConnectionNew, []byte{2, 0, 0}, ReasonLength}, {msgConnectionNew, []byte{0, 0, 0, 0}, ReasonFamily},
		{msgConnectionNew, []byte{2, 0, 0, 0}, ReasonMissing}, {msgExpectationDelete, []byte{2, 0, 0, 0}, ReasonMissing},
		{msgConnectionNew, []byte{2, 0, 0, 0, 9}, ReasonStructure},
	} {
		if _, err := FromMessage(nil, test.typ, 0, test.payload); ReasonOf(err) != test.want {
			t.Errorf("%#x % x: %v, want %s", test.typ, test.payload, err, test.want)
		}
	}
	if _, _, _, ok := next(binary.LittleEndian.AppendUint32(nil, 0)); ok {
		t.Error("an attribute of no length")
	}
}
