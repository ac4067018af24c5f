// SPDX-License-Identifier: Apache-2.0

package records_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-project/holdfast/management"
	"github.com/holdfast-project/holdfast/management/audit"
	"github.com/holdfast-project/holdfast/management/records"
	"github.com/holdfast-project/holdfast/management/store"
)

// Every change adds one entry that names it, by whom and what; whatever is refused, or changes nothing, adds none.
func TestEveryChangeIsAudited(t *testing.T) {
	r, _, c := open(t)
	var a management.Attempt
	var text string
	step := func(name, entry string, fn func() error) {
		t.Helper()
		before, _ := r.AuditHead(t.Context())
		c.at = c.at.Add(time.Second)
		if err := fn(); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		all, err := r.AuditLog(t.Context(), before.Number, 10)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, rec := range all {
			e := rec.Event
			if e.Action == "token.add" {
				e.Object = "OBJECT" // random
			}
			got = append(got, strings.TrimSpace(e.Actor.Name+" "+e.Action+" "+e.Cluster+" "+e.Object+" "+e.Outcome.String()))
			if e.Time != c.at.UnixNano() {
				t.Errorf("%s: at %d", name, e.Time)
			}
		}
		if strings.Join(got, "; ") != entry {
			t.Errorf("%s: the log says %q; it is to say %q", name, got, entry)
		}
	}
	discard := func(_ any, err error) error { return err }
	step("cluster", "alice cluster.add paris paris done", func() error { return discard(r.AddCluster(t.Context(), alice, paris)) })
	step("cluster again", "", func() error {
		if _, err := r.AddCluster(t.Context(), alice, paris); !errors.Is(err, records.ErrExists) {
			return err
		}
		return nil
	})
	larger := paris
	larger.Members = []string{"gw-a", "gw-b", "gw-c"}
	step("cluster changes", "alice cluster.change paris paris done", func() error { return discard(r.ChangeCluster(t.Context(), alice, larger)) })
	step("no change", "", func() error { return discard(r.ChangeCluster(t.Context(), alice, larger)) })
	step("policy", "alice policy.add paris 1 done", func() error { add(t, r); return nil })
	step("report", "", func() error { return discard(r.Reported(t.Context(), gwA, "paris", "gw-a", 1, 0)) })
	step("news", "paris/gw-a numbers.report paris gw-a done", func() error { return discard(r.Reported(t.Context(), gwA, "paris", "gw-a", 2, 0)) })
	step("numbers", "alice numbers.name paris  done", func() error { return discard(r.NameNumbers(t.Context(), alice, "paris", 2, 0)) })
	step("attempt", "alice install.begin paris 1 done", func() error { a = begin(t, r, 1); return nil })
	step("commit", "mgmt-b install.committed paris 1 done", func() error { decide(t, r, a, management.Committed); return nil })
	step("commit again", "", func() error { decide(t, r, a, management.Committed); return nil })
	step("rollback", "mgmt-b install.rolled-back paris 1 done", func() error { decide(t, r, a, management.RolledBack); return nil })
	step("end", "mgmt-b install.end paris 1 done", func() error { return discard(r.EndAttempt(t.Context(), other, "paris", 1, nil)) })
	step("end again", "", func() error { return discard(r.EndAttempt(t.Context(), other, "paris", 1, nil)) })
	step("token", "alice token.add paris OBJECT done", func() error { text, _ = newToken(t, r, memberToken); return nil })
	step("enrol", "paris/gw-a token.use paris 01 done", func() error { return discard(r.Enrol(t.Context(), gwA, text, management.MemberToken, issue("01"))) })
	step("renew", "paris/gw-a certificate.add paris 02 done", func() error { return r.AddCertificate(t.Context(), gwA, renewal("01", "02")) })
	step("revoke", "alice certificate.revoke paris 01 done", func() error { return r.Revoke(t.Context(), alice, "01", "") })
	step("revoke again", "", func() error { return r.Revoke(t.Context(), alice, "01", "") })
	step("member", "alice member.revoke paris gw-a done", func() error { return r.RevokeMember(t.Context(), alice, "paris", "gw-a", "") })
	step("user", "alice user.add  root done", func() error { return discard(r.AddUser(t.Context(), alice, "root", management.Admin)) })
	step("user", "alice user.add  bob done", func() error { return discard(r.AddUser(t.Context(), alice, "bob", management.Viewer)) })
	step("role", "alice user.change  bob done", func() error { return discard(r.ChangeUser(t.Context(), alice, "bob", management.Operator)) })
	step("gone", "alice user.remove  bob done", func() error { return r.RemoveUser(t.Context(), alice, "bob") })
	step("backup", "alice backup   done", func() error { return r.Backup(t.Context(), alice, &bytes.Buffer{}) })
	step("refused", "alice policy.add paris 7 refused", func() error {
		return r.Refuse(t.Context(), management.Event{Actor: alice, Action: "policy.add", Cluster: "paris", Object: "7", Why: "not signed"})
	})
	if _, err := r.VerifyAudit(t.Context()); err != nil {
		t.Error(err)
	}
	all, err := r.AuditLog(t.Context(), 0, 3)
	if err != nil || len(all) != 3 || all[0].Number != 1 {
		t.Error(all, err)
	}
}

func TestRefusalsAreCut(t *testing.T) {
	r, _, _ := open(t)
	long := strings.Repeat("x", 1<<20)
	detail := map[string]string{}
	for i := range 100 {
		detail[strings.Repeat("k", i)] = long
	}
	err := r.Refuse(t.Context(), management.Event{Actor: management.Actor{Kind: management.ByNobody, Name: long}, Action: "enrol", Object: long, Why: long, Detail: detail})
	if err != nil {
		t.Fatal(err)
	}
	all, err := r.AuditLog(t.Context(), 0, 10)
	if err != nil || len(all) != 1 || len(all[0].Event.Why) > 600 {
		t.Error(err)
	}
}

func TestTamperedLog(t *testing.T) {
	const third = "audit/00000000000000000003"
	for name, c := range map[string]struct {
		change func(tx store.Tx) error
		broken bool
	}{
		"as it was": {func(store.Tx) error { return nil }, false},
		"a word": {func(tx store.Tx) error {
			b, err := tx.Get(third)
			if err != nil {
				return err
			}
			return tx.Put(third, bytes.Replace(b, []byte("bob"), []byte("eve"), 1))
		}, true},
		"removed":          {func(tx store.Tx) error { return tx.Delete(third) }, true},
		"the last removed": {func(tx store.Tx) error { return tx.Delete("audit/00000000000000000004") }, true},
		"no JSON":          {func(tx store.Tx) error { return tx.Put(third, []byte("{")) }, true},
		"under another key": {func(tx store.Tx) error {
			b, _ := tx.Get(third)
			return errors.Join(tx.Delete(third), tx.Put(third+"0", b))
		}, true},
		"the end forgotten": {func(tx store.Tx) error {
			return errors.Join(tx.Delete("audit/00000000000000000004"), tx.Delete("audit-head"))
		}, true},
	} {
		t.Run(name, func(t *testing.T) {
			r, s, _ := with(t)
			for _, user := range []string{"alice", "bob", "carl"} {
				if _, err := r.AddUser(t.Context(), alice, user, management.Viewer); err != nil {
					t.Fatal(err)
				}
			}
			if err := s.Update(t.Context(), c.change); err != nil {
				t.Fatal(err)
			}
			_, err := r.VerifyAudit(t.Context())
			if c.broken && !errors.Is(err, audit.ErrBroken) && !errors.Is(err, store.ErrDamaged) || !c.broken && err != nil {
				t.Errorf("%v", err)
			}
		})
	}
}

func TestLogOfAnOlderCopy(t *testing.T) {
	r, _, _ := with(t)
	var backup bytes.Buffer
	if err := r.Backup(t.Context(), alice, &backup); err != nil {
		t.Fatal(err)
	}
	add(t, r)
	add(t, r)
	noted, err := r.AuditHead(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.VerifyAudit(t.Context(), noted); err != nil {
		t.Error(err)
	}
	older, _, _ := open(t)
	if err := older.Restore(t.Context(), alice, &backup, "a"); err != nil {
		t.Fatal(err)
	}
	_, err = older.VerifyAudit(t.Context(), noted)
	want(t, err, audit.ErrBroken)
	if end, err := older.VerifyAudit(t.Context()); err != nil || end.Number != 3 {
		t.Error(end, err)
	}
}
