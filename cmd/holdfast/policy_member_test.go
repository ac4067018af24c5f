// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-project/holdfast/internal/control"
	"github.com/holdfast-project/holdfast/internal/control/controltest"
)

const (
	digest41 = "4141414141414141414141414141414141414141414141414141414141414141"
	digest42 = "4242424242424242424242424242424242424242424242424242424242424242"
	digest43 = "4343434343434343434343434343434343434343434343434343434343434343"
)

// installing is a member amid an install, with a drift, management away, and another member that has stayed behind.
func installing() *controltest.Backend {
	b := edge()
	since, old, expiry := before(time.Hour), before(50*time.Hour), noon.Add(40*24*time.Hour)
	g41 := control.PolicyGeneration{Generation: 41, Digest: digest41, Content: digest41, Created: before(60 * time.Hour), Author: "anna", Comment: "let the office in", Since: &old, State: "previous"}
	g42 := control.PolicyGeneration{Generation: 42, Digest: digest42, Content: digest42, Created: before(2 * time.Hour), Author: "ben", Comment: "servers for the lab\nand what they need", Since: &since,
		State: "in-force"}
	g43 := control.PolicyGeneration{Generation: 43, Digest: digest43, Content: digest41, Created: before(time.Minute), Author: "anna", Origin: 41, State: "prepared"}
	bad := control.PolicyGeneration{Generation: 40, Digest: digest41, Content: digest43, Created: before(70 * time.Hour), Author: "ben", Comment: "too strict", Declined: true, State: "declined"}
	kept := control.PolicyGeneration{Generation: 39, Digest: digest42, Content: digest42, Created: before(90 * time.Hour), Author: "ben", State: "kept"}
	b.PolicyV = control.Policy{
		Member: "gw-b", Status: "ok", InForce: &g42, Previous: &g41, Prepared: &g43, Highest: 43, Enforce: true, Keys: []string{"00112233aabbccdd"},
		Attempt: &control.PolicyAttempt{Number: 7, Generation: 43, Digest: digest43, State: "prepared", InDoubt: true},
		Drift:   []string{"inet filter chain forward: + tcp dport 23 accept"}, DriftBy: "nft (4711)",
		Services: []string{"dns=never", "http=3s"}, Keep: []string{"inet filter blocked"}, Tables: []string{"inet filter", "inet nat"},
		Management: &control.PolicyManagement{URLs: []string{"https://mgmt-a:8443", "https://mgmt-b:8443"}, Why: "mgmt-b:8443: connection refused", Certificate: "5f3a", NotAfter: &expiry},
		Members: []control.PolicyMember{
			{ID: 0, Name: "gw-a", State: "LOST"},
			{ID: 1, Name: "gw-b", Local: true, State: "ACTIVE(!)", Generation: 42, Digest: digest42, Highest: 43, Attempt: 7, Install: "prepared", Heard: true},
			{ID: 2, Name: "gw-c", State: "READY", Generation: 41, Digest: digest41, Highest: 41, Attempt: 6, Install: "aborted", Differs: true, Heard: true},
		},
		Last:     control.PolicyDurations{FetchMs: 120.5, PrepareMs: 611, CommitMs: 1.25},
		Counters: map[string]uint64{"installed": 3, "refused": 1, "drifts": 1, "restored": 1, "conflicts": 0}, Fetched: map[string]uint64{"gw-a": 1, "management": 2},
	}
	b.GensV = control.PolicyHistory{Member: "gw-b", Generations: []control.PolicyGeneration{g43, g42, g41, bad, kept}}
	b.StateV.Policy = &control.PolicyState{Generation: 42, Digest: digest42, Since: &since, Comment: g42.Comment, Status: "ok", Attempt: 7, Phase: "prepared", Drift: 1}
	b.StateV.Members[1].Generation, b.StateV.Members[2].Generation = 42, 41
	return b
}

func TestPolicyOfMemberGolden(t *testing.T) {
	socket, _ := controltest.Serve(t, installing())
	compareGolden(t, socket, []goldenCase{
		{"policy-status", false, 0, "holdfast policy status"},
		{"policy-status-terminal", true, 0, "holdfast policy status"},
		{"policy-status-json", false, 0, "holdfast policy status -o json"},
		{"policy-history", false, 0, "holdfast policy history"},
		{"policy-history-json", false, 0, "holdfast policy history -o json"},
		{"policy-fetch", false, 0, "holdfast policy fetch"},
		{"policy-unload", false, 0, "holdfast policy unload"},
		{"policy-resume", false, 0, "holdfast policy load"},
		{"policy-state", false, 0, "holdfast state"},
		{"policy-state-json", false, 0, "holdfast state -o json"},
	})
	none := installing()
	none.PolicyV = control.Policy{Member: "gw-b", Status: "problem", Reason: "no policy: nobody has one", BootFilter: true, Keys: []string{"00112233aabbccdd"},
		Members: []control.PolicyMember{{ID: 0, Name: "gw-a", State: "DOWN", Heard: true}, {ID: 1, Name: "gw-b", Local: true, State: "DOWN", Heard: true, Reason: "no policy: nobody has one"}}}
	none.GensV = control.PolicyHistory{Member: "gw-b"}
	none.StateV.Policy = &control.PolicyState{Status: "problem", Reason: "no policy: nobody has one", BootFilter: true}
	socket, _ = controltest.Serve(t, none)
	compareGolden(t, socket, []goldenCase{
		{"policy-status-none", false, 0, "holdfast policy status"},
		{"policy-history-none", false, 0, "holdfast policy history"},
		{"policy-state-none", false, 0, "holdfast state"},
	})
}

// TestPolicyOfMember: what is asked for by number comes from the member, what is a file from the disk.
func TestPolicyOfMember(t *testing.T) {
	dir := policyDir(t)
	b := installing()
	b.PolicyFiles = map[uint64][]byte{}
	for generation, file := range map[uint64]string{41: "edge.nft", 42: "worse.nft"} {
		number := strconv.FormatUint(generation, 10)
		args := []string{"holdfast", "policy", "pack", "--cluster", "7", "--key", "./key", "--created", "2026-03-04T00:00:00Z", "--generation", number, "./" + file, "./" + number + ".policy"}
		if _, errs, code := inDir(t, dir, args...); code != 0 {
			t.Fatal(errs)
		}
		content, err := os.ReadFile(filepath.Join(dir, number+".policy"))
		if err != nil {
			t.Fatal(err)
		}
		b.PolicyFiles[generation] = content
	}
	socket, _ := controltest.Serve(t, b)
	try := func(line string) (string, string, int) {
		args := strings.Fields(line)
		for i := range args {
			if rest, ok := strings.CutPrefix(args[i], "./"); ok {
				args[i] = filepath.Join(dir, rest)
			}
		}
		return invoke(t.Context(), t, socket, false, args...)
	}
	files, _, code := try("holdfast policy diff ./41.policy ./42.policy")
	if code != 1 || files == "" {
		t.Fatal(code, files)
	}
	for _, line := range []string{"holdfast policy diff 41 42", "holdfast policy diff 41 ./42.policy"} {
		if out, errs, code := try(line); code != 1 || out != files {
			t.Errorf("%s: %d %s\n%s", line, code, errs, out)
		}
	}
	for _, tc := range []struct {
		line, out, errs string
		code            int
	}{
		{"holdfast policy show", "Generation   42 of cluster 7", "", 0},
		{"holdfast policy show 41", "Generation   41 of cluster 7", "", 0},
		{"holdfast policy show 41 --ruleset", "table inet", "", 0},
		{"holdfast policy show 9", "", "there is no generation 9 here", 1},
		{"holdfast policy show x", "", "is no generation", 2},
		{"holdfast policy diff 41 9", "", "there is no generation 9 here", 1},
		{"holdfast policy load ./42.policy", "policy load", "", 0},
		{"holdfast policy load ./edge.nft", "", "not a policy bundle", 1},
	} {
		out, errs, code := try(tc.line)
		if code != tc.code || !strings.Contains(out, tc.out) || !strings.Contains(errs, tc.errs) {
			t.Errorf("%s: exit code %d\n%s%s", tc.line, code, out, errs)
		}
	}
	if got := b.Requests(); len(got) != 1 || !strings.HasPrefix(got[0], "policy load ") {
		t.Errorf("asked for %q", got)
	}
}
