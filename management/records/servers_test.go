// SPDX-License-Identifier: Apache-2.0

package records_test

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/holdfast-project/holdfast/internal/labtest"
	"github.com/holdfast-project/holdfast/management"
	"github.com/holdfast-project/holdfast/management/records"
	"github.com/holdfast-project/holdfast/management/store"
	"github.com/holdfast-project/holdfast/management/store/etcdtest"
)

// onSeveral runs a test with two servers: on one file within a process, and on etcd with a connection each.
func onSeveral(t *testing.T, fn func(t *testing.T, a, b *records.Records)) {
	t.Run("file", func(t *testing.T) {
		s, err := store.OpenFile(filepath.Join(t.TempDir(), "store"))
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		fn(t, records.New(s, records.Options{}), records.New(s, records.Options{}))
	})
	t.Run("etcd", func(t *testing.T) {
		if _, err := exec.LookPath("etcd"); err != nil {
			labtest.Missing(t, "etcd")
		}
		server, err := etcdtest.New(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := server.Run(ctx); err != nil {
			t.Fatal(err)
		}
		defer server.Stop()
		target := server.Target()
		var both [2]*records.Records
		for i := range both {
			s, err := store.Open(ctx, target)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			both[i] = records.New(s, records.Options{})
		}
		fn(t, both[0], both[1])
	})
}

// atOnce runs fn n times at once, on one server and the other, and counts those that returned no error; the others' must be want.
func atOnce(t *testing.T, n int, a, b *records.Records, want error, fn func(r *records.Records, i int) error) int {
	t.Helper()
	var done atomic.Int64
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			switch err := fn([]*records.Records{a, b}[i%2], i); {
			case err == nil:
				done.Add(1)
			case !errors.Is(err, want):
				t.Errorf("%d: %v", i, err)
			}
		})
	}
	wg.Wait()
	return int(done.Load())
}

func TestSeveralServers(t *testing.T) {
	onSeveral(t, func(t *testing.T, a, b *records.Records) {
		if _, err := a.AddCluster(t.Context(), alice, paris); err != nil {
			t.Fatal(err)
		}

		// Numbers: each once, without gaps, and each with its own file.
		if n := atOnce(t, 8, a, b, nil, func(r *records.Records, i int) error {
			_, err := r.AddPolicy(t.Context(), alice, "paris", seal(7, fmt.Sprintf("# %d\n", i)))
			return err
		}); n != 8 {
			t.Fatalf("%d of 8 policies were added", n)
		}
		all, err := b.Policies(t.Context(), "paris")
		if err != nil || len(all) != 8 {
			t.Fatal(all, err)
		}
		for i, p := range all {
			if p.Generation != uint64(i+1) {
				t.Errorf("generation %d is in place %d", p.Generation, i+1)
			}
			if _, file, err := a.PolicyFile(t.Context(), "paris", p.Generation); err != nil || len(file) != p.Size {
				t.Errorf("generation %d: %d bytes, %v", p.Generation, len(file), err)
			}
		}

		// An attempt: one begins, one decision holds, and the cluster is as it says.
		var won management.Attempt
		if n := atOnce(t, 4, a, b, records.ErrBusy, func(r *records.Records, _ int) error {
			begun, err := r.BeginAttempt(t.Context(), alice, attempt(8))
			if err == nil {
				won = begun
			}
			return err
		}); n != 1 {
			t.Fatalf("%d attempts began", n)
		}
		if n := atOnce(t, 8, a, b, management.ErrDecided, func(r *records.Records, i int) error {
			to := []management.Phase{management.Committed, management.Committed, management.Aborted, management.Aborted}[i%4]
			after, err := r.Decide(t.Context(), other, "paris", won.Number, to, "", nil)
			if err == nil && after.Phase != to || err != nil && (after.Phase == to || after.Number != won.Number) {
				t.Errorf("decided %v, and told that it is %+v, %v", to, after, err)
			}
			return err
		}); n != 4 {
			t.Errorf("%d of 4 and 4 servers were told that it goes their way", n)
		}
		decided, err := b.Attempt(t.Context(), "paris", won.Number)
		if err != nil {
			t.Fatal(err)
		}
		c, err := a.Cluster(t.Context(), "paris")
		if err != nil || (decided.Phase == management.Committed) != (c.Current == won.Policy) {
			t.Errorf("the attempt is %v, and %v is current, %v", decided.Phase, c.Current, err)
		}

		// A token: one certificate.
		text, _, err := a.NewToken(t.Context(), alice, management.Token{Kind: management.MemberToken, Cluster: "paris", Member: "gw-a"}, time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		if n := atOnce(t, 8, a, b, management.ErrTokenUsed, func(r *records.Records, i int) error {
			_, err := r.Enrol(t.Context(), gwA, text, management.MemberToken, issue(fmt.Sprintf("%02x", i)))
			return err
		}); n != 1 {
			t.Errorf("%d certificates were issued for one token", n)
		}
		certs, err := b.Certificates(t.Context())
		if err != nil || len(certs) != 1 {
			t.Errorf("%+v, %v", certs, err)
		}
		if _, err := a.VerifyAudit(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// issue makes the record of a certificate for whom a token names.
func issue(serial string) func(management.Token) (management.Certificate, error) {
	return func(t management.Token) (management.Certificate, error) {
		kind := management.MemberCertificate
		if t.Kind == management.PersonEnrolment {
			kind = management.PersonCertificate
		}
		return management.Certificate{Serial: serial, Kind: kind, Cluster: t.Cluster, Member: t.Member, User: t.User, NotBefore: 1, NotAfter: 1 << 62}, nil
	}
}
