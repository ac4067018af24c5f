// SPDX-License-Identifier: Apache-2.0

package nft

import (
	"context"
	"errors"
	"regexp"
	"strings"
	"testing"
	"time"
)

const watched = `table inet filter {
	set fixed { type ipv4_addr; elements = { 10.0.0.1, 10.0.0.2 } }
	set free { type ipv4_addr; }
	set moving { type ipv4_addr; flags timeout; elements = { 10.0.0.1 timeout 1h } }
	counter seen { }
	chain forward { type filter hook forward priority filter; policy drop;
		tcp dport 22 counter accept
		udp dport 53 accept comment "names"
	}
}
table ip other {
	chain c { }
}
`

func TestWatch(t *testing.T) {
	p := newPlace(t)
	k := p.kernel()
	pol := bundle(t, 5, watched, kept("free")...)
	base, err := Check(t.Context(), "", pol, nil, true)
	if err != nil {
		t.Fatal(err)
	}
	install(t, k, pol)
	told := make(chan Drift, 10)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		_, err := p.kernel().Watch(ctx, base, Known{}, func(d Drift) { told <- d })
		done <- err
	}()
	for _, c := range []struct{ do, want string }{
		{"list tables", "as installed again"}, // at its beginning
		{"add rule inet filter.g5 forward tcp dport 23 accept", "inet filter chain forward: + tcp dport 23 accept"},
		{"add rule inet filter.g5 forward tcp dport 24 accept", "inet filter chain forward: + tcp dport 23 accept\ninet filter chain forward: + tcp dport 24 accept"},
		{"flush chain inet filter.g5 forward; add rule inet filter.g5 forward tcp dport 22 counter accept; add rule inet filter.g5 forward udp dport 53 accept comment \"names\"", "as installed again"},
		{"add element inet filter.g5 fixed { 10.0.0.3 }; delete element inet filter.g5 fixed { 10.0.0.1 }", "inet filter set fixed: - element 10.0.0.1\ninet filter set fixed: + element 10.0.0.3"},
		{"delete element inet filter.g5 fixed { 10.0.0.3 }; add element inet filter.g5 fixed { 10.0.0.1 }", "as installed again"},
		{"chain inet filter.g5 forward { policy accept; }", "inet filter chain forward: - policy drop\ninet filter chain forward: + policy accept"},
		{"chain inet filter.g5 forward { policy drop; }", "as installed again"},
		{"add chain ip other.g5 d", "ip other chain d is new"},
		{"delete chain ip other.g5 d; add table inet filter.g5 { flags dormant; }", "inet filter table: + flags dormant"},
		{"add table inet filter.g5", "as installed again"},
		{"delete table ip other.g5", "ip other table is gone"},
		{"flush ruleset", "inet filter table is gone\nip other table is gone"},
	} {
		// What is not drift must not be told: others' tables, kept and dynamic sets.
		if c.do != "flush ruleset" && !strings.Contains(c.do, "; add table") {
			p.feed("add table ip somebody; add element inet filter.g5 free { 10.9.9.9 }; add element inet filter.g5 moving { 10.9.9.9 timeout 1h }", "nft", "-f", "-")
		}
		p.run("nft", c.do)
		select {
		case d := <-told:
			got := d.String()
			if !strings.Contains(got, c.want) || len(d.Changes) > 0 && !regexp.MustCompile(`^the ruleset was changed by (nft \([0-9]+\)|somebody):\n`).MatchString(got) {
				t.Errorf("%s: told %q, want %q", c.do, got, c.want)
			}
		case <-time.After(30 * time.Second): // all is compared every five minutes, too
			t.Errorf("%s: nothing is told", c.do)
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestWatchResumed: a watch that looked away while another generation was loaded compares at its beginning only if somebody else changed something.
func TestWatchResumed(t *testing.T) {
	p := newPlace(t)
	k := p.kernel()
	pol := bundle(t, 5, watched, kept("free")...)
	install(t, k, pol)
	p.run("nft", "add element inet filter.g5 free { 10.9.9.9 }")
	now, err := k.Now()
	if err != nil {
		t.Fatal(err)
	}
	base, err := k.Baseline(t.Context(), pol)
	if err != nil {
		t.Fatal(err)
	}
	whole := 0 // how often it is as it must be
	// watch until everything is read that was done before.
	watch := func(known Known, do ...string) (Known, []Drift) {
		var all []Drift
		told := make(chan Drift, 10)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var after Known
		done := make(chan error, 1)
		go func() {
			var err error
			after, err = p.kernel().Watch(ctx, base, known, func(d Drift) {
				if len(d.Changes) == 0 {
					whole++ // at the beginning: what is done may come before it
				} else {
					told <- d
				}
			})
			done <- err
		}()
		for _, text := range do {
			p.run("nft", text)
			select {
			case d := <-told:
				all = append(all, d)
			case <-time.After(300 * time.Millisecond): // it is not to be told
			}
		}
		cancel()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		close(told)
		for d := range told {
			all = append(all, d)
		}
		return after, all
	}
	known, told := watch(now)
	if known != now || len(told) != 0 {
		t.Fatalf("nothing happened: %v after %v, %v", known, now, told)
	}
	next := bundle(t, 6, watched, kept("free")...)
	r, err := k.Prepare(t.Context(), next)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Kept) != 1 || r.Kept[0].Carried != 1 {
		t.Fatalf("%+v: nothing was carried over: that is a transaction to be counted", r)
	}
	if known = known.After(r); known.until == 0 {
		t.Fatalf("a prepare alone is not known to be alone: %+v", r)
	}
	if now, err = k.Now(); err != nil || known != now {
		t.Fatalf("%v after the prepare, the kernel is at %v: %v", known, now, err)
	}
	if known, told = watch(known, "add table ip somebody"); len(told) != 0 || known.until == 0 {
		t.Fatalf("somebody's own table: %v, %v", known, told)
	}
	// Somebody changes the policy while the watch looks away, before the prepare, or after it.
	p.run("nft", "add rule inet filter.g5 forward tcp dport 23 accept")
	if r, err = k.Prepare(t.Context(), next); err != nil {
		t.Fatal(err)
	}
	if known = known.After(r); known.until != 0 {
		t.Fatalf("a change before the prepare is not seen: %v", known)
	}
	if known, told = watch(known, "add table ip somebody"); len(told) != 1 || known.until != 0 {
		t.Fatalf("%v, %v", known, told)
	}
	p.run("nft", "flush chain inet filter.g5 forward; add rule inet filter.g5 forward tcp dport 22 counter accept; add rule inet filter.g5 forward udp dport 53 accept comment \"names\"")
	// Whoever was told of the change hears that it is gone.
	whole = 0
	if known, told = watch(Known{}, "add table ip somebody"); len(told) != 0 || whole != 1 || known.until == 0 {
		t.Fatalf("%v, %v", known, told)
	}
	p.run("nft", "add rule inet filter.g5 forward tcp dport 24 accept")
	if known, told = watch(known, "add table ip somebody"); len(told) != 1 || known.until != 0 {
		t.Fatalf("a change after the prepare: %v, %v", known, told)
	}
}

// TestBaselineGone: what the kernel has not is no baseline.
func TestBaselineGone(t *testing.T) {
	p := newPlace(t)
	k := p.kernel()
	pol := bundle(t, 1, "table inet filter {\n}\n")
	install(t, k, pol)
	p.run("nft", "flush", "ruleset")
	if b, err := k.Baseline(t.Context(), pol); !errors.Is(err, ErrGone) {
		t.Errorf("%+v %v", b, err)
	}
}
