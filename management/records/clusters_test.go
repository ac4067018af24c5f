// SPDX-License-Identifier: Apache-2.0

package records_test

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/holdfast-project/holdfast/management"
	"github.com/holdfast-project/holdfast/management/records"
)

func TestClusters(t *testing.T) {
	r, _, _ := with(t)
	for name, c := range map[string]struct {
		change func(*management.Cluster)
		want   error
	}{
		"same name": {func(c *management.Cluster) { c.ID = 8 }, records.ErrExists},
		"same id":   {func(c *management.Cluster) { c.Name = "lyon" }, records.ErrExists},
		"no id":     {func(c *management.Cluster) { c.Name, c.ID = "lyon", 0 }, management.ErrValue},
		"another":   {func(c *management.Cluster) { c.Name, c.ID = "lyon", 8 }, nil},
	} {
		cluster := paris
		c.change(&cluster)
		_, err := r.AddCluster(t.Context(), alice, cluster)
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	all, err := r.Clusters(t.Context())
	if err != nil || len(all) != 2 || all[0].Name != "lyon" || all[1].Name != "paris" || all[1].Numbers.Unsure {
		t.Errorf("%+v, %v", all, err)
	}

	before, _ := r.AuditHead(t.Context())
	if _, err := r.ChangeCluster(t.Context(), alice, paris); err != nil {
		t.Error(err)
	}
	if after, _ := r.AuditHead(t.Context()); after != before {
		t.Error("a change of nothing is in the audit log")
	}
	moved := paris
	moved.ID = 9
	_, err = r.ChangeCluster(t.Context(), alice, moved)
	want(t, err, management.ErrValue)
	moved = paris
	moved.Members = []string{"gw-b", "gw-c"}
	if _, err := r.ChangeCluster(t.Context(), alice, moved); err != nil {
		t.Fatal(err)
	}
	_, err = r.Member(t.Context(), "paris", "gw-a")
	want(t, err, records.ErrMember)
	_, err = r.Member(t.Context(), "rome", "gw-a")
	want(t, err, records.ErrNone)
}

func TestNumbersAreNeverGivenTwice(t *testing.T) {
	r, s, _ := with(t)
	first := add(t, r)
	decide(t, r, begin(t, r, first.Generation), management.Aborted)
	var backup bytes.Buffer
	if err := r.Backup(t.Context(), alice, &backup); err != nil {
		t.Fatal(err)
	}
	token, _, err := r.NewToken(t.Context(), alice, management.Token{Kind: management.MemberToken, Cluster: "paris", Member: "gw-a"}, 1e12)
	if err != nil {
		t.Fatal(err)
	}
	add(t, r)
	add(t, r)
	_ = s

	restored, _, _ := open(t)
	if err := restored.Restore(t.Context(), management.Actor{Kind: management.ByHost}, &backup, "a"); err != nil {
		t.Fatal(err)
	}
	_, err = restored.AddPolicy(t.Context(), alice, "paris", seal(7, "x\n"))
	var unsure *management.UnsureError
	if !errors.As(err, &unsure) || !slices.Equal(unsure.Missing, []string{"gw-a", "gw-b"}) || !strings.Contains(err.Error(), "gw-a, gw-b") {
		t.Fatalf("a number was given before anybody reported: %v", err)
	}
	_, err = restored.BeginAttempt(t.Context(), alice, attempt(first.Generation))
	want(t, err, management.ErrNumbersUnsure)
	if _, err := restored.Enrol(t.Context(), gwA, token, management.MemberToken, nil); !errors.Is(err, management.ErrTokenUnknown) {
		t.Errorf("a token of after the backup: %v", err)
	}
	if _, err := restored.Reported(t.Context(), gwA, "paris", "gw-a", 3, 1); err != nil {
		t.Fatal(err)
	}
	_, err = restored.AddPolicy(t.Context(), alice, "paris", seal(7, "x\n"))
	if !errors.As(err, &unsure) || !slices.Equal(unsure.Missing, []string{"gw-b"}) {
		t.Fatalf("after one report: %v", err)
	}
	if n, err := restored.Reported(t.Context(), gwA, "paris", "gw-b", 2, 1); err != nil || n.Unsure {
		t.Fatal(n, err)
	}
	if p := add(t, restored); p.Generation != 4 {
		t.Errorf("a member knew 3, and the next is %d", p.Generation)
	}
	if a := begin(t, restored, 4); a.Number != 2 {
		t.Errorf("attempt 1 was given, and the next is %d", a.Number)
	}
	if _, err := restored.VerifyAudit(t.Context()); err != nil {
		t.Error(err)
	}
	if epoch, err := restored.Epoch(t.Context()); epoch != 1 || err != nil {
		t.Error(epoch, err)
	}
}

func TestNumbersNamedByAnOperator(t *testing.T) {
	r, _, _ := with(t)
	add(t, r)
	if _, err := r.Reported(t.Context(), gwA, "paris", "gw-a", 7, 2); err != nil {
		t.Fatal(err)
	}
	_, err := r.AddPolicy(t.Context(), alice, "paris", seal(7, "x\n"))
	want(t, err, management.ErrNumbersUnsure)
	_, err = r.NameNumbers(t.Context(), alice, "paris", 6, 2)
	want(t, err, management.ErrValue)
	_, err = r.NameNumbers(t.Context(), alice, "paris", 1<<63, 2)
	want(t, err, management.ErrValue)
	if n, err := r.NameNumbers(t.Context(), alice, "paris", 9, 4); err != nil || n.Unsure {
		t.Fatal(n, err)
	}
	if p := add(t, r); p.Generation != 10 {
		t.Errorf("the next after 9 is %d", p.Generation)
	}
}

func TestReportsThatCannotBe(t *testing.T) {
	r, _, _ := with(t)
	for _, c := range []struct {
		member              string
		generation, attempt uint64
		want                error
	}{{"gw-a", 1 << 40, 0, management.ErrValue}, {"gw-a", 0, ^uint64(0), management.ErrValue}, {"gw-z", 1, 1, records.ErrMember}} {
		_, err := r.Reported(t.Context(), gwA, "paris", c.member, c.generation, c.attempt)
		want(t, err, c.want)
	}
	before, _ := r.AuditHead(t.Context())
	for range 3 {
		if _, err := r.Reported(t.Context(), gwA, "paris", "gw-a", 0, 0); err != nil {
			t.Fatal(err)
		}
	}
	if after, _ := r.AuditHead(t.Context()); before != after {
		t.Error("a report without news was written")
	}
	if c, err := r.Cluster(t.Context(), "paris"); err != nil || c.Numbers.Unsure || c.Numbers.Generation != 0 {
		t.Error(c.Numbers, err)
	}
}

func TestWhoIsTakenOutHasNothing(t *testing.T) {
	r, _, _ := with(t)
	cert := enrol(t, r, "0a")
	token, _ := newToken(t, r, memberToken)
	c, err := r.Cluster(t.Context(), "paris")
	want(t, err, nil)
	all := c.Members
	c.Members = slices.DeleteFunc(slices.Clone(all), func(m string) bool { return m == "gw-a" })
	_, err = r.ChangeCluster(t.Context(), alice, c)
	want(t, err, nil)
	c.Members = all
	_, err = r.ChangeCluster(t.Context(), alice, c)
	want(t, err, nil)
	identify(t, r, management.ErrRevoked, cert.Serial)
	_, err = r.Enrol(t.Context(), gwA, token, management.MemberToken, issue("0b"))
	want(t, err, management.ErrTokenRevoked)

	_, err = r.Reported(t.Context(), gwA, "paris", "gw-a", 100, 0)
	want(t, err, nil)
	_, err = r.Reported(t.Context(), gwA, "paris", "gw-a", 101, 0)
	want(t, err, records.ErrOften)
}
