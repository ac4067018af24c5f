// SPDX-License-Identifier: Apache-2.0

package nft

import (
	"crypto/ed25519"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/holdfast-project/holdfast/internal/labtest"
	"github.com/holdfast-project/holdfast/policy"
	"github.com/holdfast-project/holdfast/policy/ruleset"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// place is a network namespace of a test.
type place struct {
	t    testing.TB
	file *os.File
}

func newPlace(t testing.TB, links ...Link) *place {
	t.Helper()
	labtest.Require(t, "nft", "ip")
	file, err := scratch(links)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	return &place{t, file}
}

func (p *place) fd() int { return int(p.file.Fd()) }

func (p *place) kernel() *Kernel { return New(Options{Cluster: 7, Namespace: p.fd()}) }

// try runs a command in the namespace.
func (p *place) try(input string, args ...string) (string, error) {
	cmd := exec.Command(args[0], args[1:]...)
	var out strings.Builder
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(input), &out, &out
	if err := within(p.fd(), cmd.Start); err != nil {
		return "", err
	}
	err := cmd.Wait()
	return out.String(), err
}

func (p *place) run(args ...string) string { p.t.Helper(); return p.feed("", args...) }

func (p *place) feed(input string, args ...string) string {
	p.t.Helper()
	out, err := p.try(input, args...)
	if err != nil {
		p.t.Fatalf("%s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

var signer = ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))

// bundle makes generation of a ruleset into a policy.
func bundle(t testing.TB, generation uint64, rules string, keep ...policy.Set) *Policy {
	t.Helper()
	s, err := policy.Seal(&policy.Bundle{Cluster: 7, Generation: generation, File: "edge.nft", Ruleset: rules, Keep: keep}, signer)
	if err != nil {
		t.Fatal(err)
	}
	p, err := Of(s, []ruleset.Definition{{Name: "holdfast_dev_outside", Value: `"out"`}, {Name: "holdfast_vip4_outside", Value: "192.0.2.1"}})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func install(t testing.TB, k *Kernel, p *Policy) Report {
	t.Helper()
	if _, err := k.Prepare(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	r, err := k.Commit(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// state is what the kernel has, in short: "12 awake, 11 asleep".
func state(t testing.TB, k *Kernel) string {
	t.Helper()
	all, err := k.State()
	if err != nil {
		t.Fatal(err)
	}
	var s []string
	for _, l := range all {
		word := "asleep"
		if l.Awake {
			word = "awake"
		}
		if l.Mixed {
			word += " in part"
		}
		s = append(s, fmt.Sprint(l.Mark.Generation, " ", word))
	}
	return strings.Join(s, ", ")
}
