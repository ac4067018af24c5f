// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/holdfast-project/holdfast/ccp"
	"github.com/holdfast-project/holdfast/internal/config"
	"github.com/holdfast-project/holdfast/internal/defines"
	"github.com/holdfast-project/holdfast/internal/labtest"
	"github.com/holdfast-project/holdfast/internal/manager"
	"github.com/holdfast-project/holdfast/internal/policyplane"
	"github.com/holdfast-project/holdfast/management/api"
	"github.com/holdfast-project/holdfast/policy"
	"github.com/holdfast-project/holdfast/policy/bootfilter"
	"github.com/holdfast-project/holdfast/policy/nft"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const clusterYAML = `id: 7
name: edge
key-file: k
members:
  - name: gw-a
    interfaces:
      outside: {device: eth0, addresses: [192.0.2.2/24]}
      inside: {device: eth1, addresses: [10.0.0.2/24]}
  - name: gw-b
    interfaces:
      outside: {device: eth0, addresses: [192.0.2.3/24]}
      inside: {device: eth1, addresses: [10.0.0.3/24]}
interfaces:
  - {name: outside, role: cluster, vips: [192.0.2.1]}
  - {name: inside, role: cluster+sync, vips: [10.0.0.1]}
`

const rulesetText = `table inet filter {
	chain forward {
		type filter hook forward priority 0; policy drop;
		ct state established,related accept
		iifname $holdfast_dev_inside accept
	}
}
`

// host is where commands are run: a directory, and a server in this process.
type host struct {
	t    *testing.T
	dir  string
	url  string
	stop func()
}

// holdfast runs one command and returns its code and both outputs.
func (h *host) holdfast(args ...string) (code int, stdout, stderr string) {
	h.t.Helper()
	var out, errs bytes.Buffer
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	code = run(ctx, args, environment{out: &out, err: &errs, now: time.Now, zone: time.UTC, getenv: func(k string) string {
		return map[string]string{"HOLDFAST_MGMT_PROFILE": filepath.Join(h.dir, "data", "admin")}[k]
	}})
	return code, out.String(), errs.String()
}

// do is a command that must succeed.
func (h *host) do(args ...string) string {
	h.t.Helper()
	code, out, errs := h.holdfast(args...)
	if code != exitOK {
		h.t.Fatalf("%v: %d %s%s", args, code, out, errs)
	}
	return out
}

func (h *host) file(name, text string) string {
	h.t.Helper()
	path := filepath.Join(h.dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		h.t.Fatal(err)
	}
	return path
}

// newHost initialises a server's data.
func newHost(t *testing.T) *host {
	h := &host{t: t, dir: t.TempDir()}
	l, err := net.Listen("tcp", "127.0.0.1:0") // a port that is free
	if err != nil {
		t.Fatal(err)
	}
	h.url = "https://" + l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	h.do("init", "--data", filepath.Join(h.dir, "data"), "--server", h.url)
	return h
}

// serve runs the server until the test, or stop, ends it.
func (h *host) serve(args ...string) {
	h.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ready, out := io.Pipe()
	ended := make(chan int, 1)
	var errs bytes.Buffer
	go func() {
		args = append([]string{"serve", "--data", filepath.Join(h.dir, "data"), "--listen", strings.TrimPrefix(h.url, "https://")}, args...)
		ended <- run(ctx, args, environment{out: out, err: &errs, now: time.Now, zone: time.UTC, getenv: func(string) string { return "" }})
		_ = out.Close()
	}()
	line := make([]byte, 64)
	if n, err := ready.Read(line); err != nil || !strings.HasPrefix(string(line[:n]), "listening on ") {
		cancel()
		<-ended
		h.t.Fatalf("serve: %v %s%s", err, line[:n], errs.String())
	}
	h.stop = sync.OnceFunc(func() {
		cancel()
		if code := <-ended; code != exitOK {
			h.t.Errorf("serve ended with %d: %s", code, errs.String())
		}
	})
	h.t.Cleanup(h.stop)
}

func TestCommands(t *testing.T) {
	h := newHost(t)
	if code, _, errs := h.holdfast("init", "--data", filepath.Join(h.dir, "data")); code != exitError || !strings.Contains(errs, "in this store already") {
		t.Errorf("init again: %d %s", code, errs)
	}
	h.serve("--unchecked")
	yaml, nftFile := h.file("cluster.yaml", clusterYAML), h.file("edge.nft", rulesetText)
	if out := h.do("cluster", "add", yaml); out != "cluster edge (7) has the members gw-a, gw-b\n" {
		t.Error(out)
	}
	h.do("cluster", "change", yaml)
	if out := h.do("cluster", "list"); !strings.Contains(out, "edge     7   0/2      -") {
		t.Error(out)
	}
	if out := h.do("cluster", "show", "edge"); !strings.Contains(out, "name: edge") {
		t.Error(out)
	}
	if out := h.do("policy", "install", nftFile, "--cluster", "edge", "--check-only"); !strings.Contains(out, "--unchecked") {
		t.Error(out)
	}
	token := strings.TrimSpace(h.do("user", "add", "olga", "--role", "operator"))
	olga := filepath.Join(h.dir, "olga")
	h.do("login", "--profile", olga, "--server", h.url, "--token", token)
	if code, _, errs := h.holdfast("login", "--profile", olga+"2", "--server", h.url, "--token", token); code != exitError || !strings.Contains(errs, "has been used") {
		t.Errorf("login again: %d %s", code, errs)
	}
	if out := h.do("health", "--profile", olga); !strings.Contains(out, "you are olga, operator") {
		t.Error(out)
	}
	h.do("renew", "--profile", olga)
	if code, _, errs := h.holdfast("user", "add", "x", "--role", "admin", "--profile", olga); code != exitError || !strings.Contains(errs, "needs the role admin") {
		t.Errorf("an operator adds somebody: %d %s", code, errs)
	}
	h.do("user", "role", "olga", "viewer")
	if code, _, _ := h.holdfast("member", "token", "gw-a", "--cluster", "edge", "--profile", olga); code != exitError {
		t.Error("a viewer makes a token")
	}
	h.do("member", "token", "gw-a", "--cluster", "edge")
	var tokens []api.Token
	if err := json.Unmarshal([]byte(h.do("token", "list", "-o", "json")), &tokens); err != nil || len(tokens) < 4 {
		t.Errorf("tokens: %v %+v", err, tokens)
	}
	h.do("token", "revoke", tokens[len(tokens)-1].ID)
	h.do("member", "revoke", "gw-a", "--cluster", "edge", "--why", "test")
	if out := h.do("certificate", "list"); !strings.Contains(out, "olga") {
		t.Error(out)
	}
	h.do("user", "remove", "olga")
	if code, _, _ := h.holdfast("health", "--profile", olga); code != exitError {
		t.Error("somebody who is gone is let in")
	}
	if out := h.do("audit", "show"); !strings.Contains(out, "user.remove") || !strings.Contains(out, "api.refused") {
		t.Error(out)
	}
	anchor := strings.TrimSpace(strings.TrimPrefix(h.do("audit", "verify"), "whole; it ends with "))
	h.do("audit", "verify", "--anchor", anchor)
	if code, out, _ := h.holdfast("audit", "verify", "--anchor", "1:"+strings.Repeat("0", 64)); code != exitError || !strings.HasPrefix(out, "BROKEN") {
		t.Errorf("another log: %d %s", code, out)
	}
	for _, wrong := range [][]string{{"policy", "show", "x", "--cluster", "edge"}, {"cluster"}, {"nothing"}, {"policy", "install"}, {"user", "add", "x"}, {"health", "-o", "xml"}} {
		if code, _, _ := h.holdfast(wrong...); code != exitUsage && len(wrong) > 1 {
			t.Errorf("%v: %d", wrong, code)
		}
	}

	// A backup, restored elsewhere: everybody is there, and nothing is numbered before the members have reported.
	backup := filepath.Join(h.dir, "backup")
	h.do("backup", backup)
	h.stop()
	data := filepath.Join(h.dir, "data")
	if code, _, errs := h.holdfast("restore", "--data", data, backup); code != exitError {
		t.Errorf("restored over what is there: %d %s", code, errs)
	}
	if err := os.Remove(filepath.Join(data, storeFile)); err != nil {
		t.Fatal(err)
	}
	h.do("restore", "--data", data, backup)
	h.serve("--unchecked")
	if code, _, errs := h.holdfast("policy", "install", nftFile, "--cluster", "edge"); code != exitError || !strings.Contains(errs, "gw-a, gw-b") {
		t.Errorf("installed after a restore: %d %s", code, errs)
	}
	h.do("cluster", "numbers", "edge", "--generation", "7", "--attempt", "9")
	if out := h.do("cluster", "list"); strings.Contains(out, "unsure") {
		t.Error(out)
	}
}

// gateway is a member with a plane and a kernel of its own, and no daemon around them.
type gateway struct {
	plane *policyplane.Plane
	space *os.File
}

// gateways enrols both members and runs them until the test ends.
func (h *host) gateways() []*gateway {
	h.t.Helper()
	parsed, err := config.Parse("cluster.yaml", []byte(clusterYAML))
	if err != nil {
		h.t.Fatal(err)
	}
	pem, err := os.ReadFile(filepath.Join(h.dir, "data", keysDir, policyPubFile))
	if err != nil {
		h.t.Fatal(err)
	}
	keys, err := policy.ParsePublicKeys(pem)
	if err != nil {
		h.t.Fatal(err)
	}
	cluster := defines.Cluster(parsed)
	ctx, stop := context.WithCancel(context.Background())
	var tasks sync.WaitGroup
	all := make([]*gateway, len(cluster.Members))
	for i, m := range cluster.Members {
		g := &gateway{space: labtest.Namespace(h.t)}
		all[i] = g
		dir := filepath.Join(h.dir, m.Name)
		token := strings.TrimSpace(h.do("member", "token", m.Name, "--cluster", "edge"))
		if _, err := manager.Enroll(ctx, manager.EnrollOptions{URLs: []string{h.url}, Token: token, Dir: dir, Cluster: "edge", Member: m.Name}); err != nil {
			h.t.Fatal(err)
		}
		way, err := manager.Open(manager.Options{URLs: []string{h.url}, Dir: dir, Cluster: "edge", Member: m.Name})
		if err != nil {
			h.t.Fatal(err)
		}
		var links []nft.Link
		for name, addresses := range defines.Links(&m) {
			links = append(links, nft.Link{Name: name, Addresses: addresses})
		}
		g.plane, err = policyplane.New(policyplane.Options{Cluster: 7, Self: uint8(i), Dir: filepath.Join(dir, "policies"), Namespace: int(g.space.Fd()), Management: way,
			Send: func(to uint8, f ccp.Policy) { all[to].plane.Frame(uint8(i), f) },
			Config: policyplane.Config{Members: []policyplane.Member{{ID: 0, Name: "gw-a"}, {ID: 1, Name: "gw-b"}}, Keys: []ed25519.PublicKey{keys[0]},
				Definitions: cluster.Definitions(i), Links: links, BootFilter: &bootfilter.Filter{}}})
		if err != nil {
			h.t.Fatal(err)
		}
		tasks.Go(func() { _ = way.Run(ctx) })
	}
	for _, g := range all {
		tasks.Go(func() {
			if err := g.plane.Run(ctx); err != nil {
				h.t.Error(err)
			}
		})
	}
	tasks.Go(func() { hellos(ctx, all) })
	h.t.Cleanup(func() {
		stop()
		tasks.Wait()
	})
	return all
}

// hellos tells both of each other, as their daemons would.
func hellos(ctx context.Context, all []*gateway) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		for i, g := range all {
			s := g.plane.Snapshot()
			v := policyplane.PeerState{Active: i == 0, View: s.View}
			if s.InForce != nil {
				v.Generation = s.InForce.Generation
			}
			all[1-i].plane.Peer(uint8(i), v)
			select { // what happens is not looked at here
			case <-g.plane.Events():
			default:
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// TestInstallForReal installs on two members' kernels, over real connections, and asks nft what is there.
func TestInstallForReal(t *testing.T) {
	labtest.Require(t, "nft")
	h := newHost(t)
	h.serve()
	h.do("cluster", "add", h.file("cluster.yaml", clusterYAML))
	all := h.gateways()
	kernels := func(want uint64) {
		t.Helper()
		for i, g := range all {
			loaded, err := nft.New(nft.Options{Cluster: 7, Namespace: int(g.space.Fd())}).State()
			if err != nil {
				t.Fatal(err)
			}
			var awake []uint64
			for _, l := range loaded {
				if l.Awake && !l.Mixed {
					awake = append(awake, l.Mark.Generation)
				}
			}
			if !slices.Equal(awake, []uint64{want}) {
				t.Errorf("generations %v are in force on member %d, want %d", awake, i, want)
			}
		}
	}
	first := h.file("edge.nft", rulesetText)
	out := h.do("policy", "install", first, "--cluster", "edge", "--comment", "first")
	if !strings.Contains(out, "checked for gw-a, gw-b") || !strings.Contains(out, "gw-b    confirmed") {
		t.Error(out)
	}
	kernels(1)
	second := h.file("edge.nft", strings.Replace(rulesetText, "established,related", "established", 1))
	out = h.do("policy", "install", second, "--cluster", "edge", "--confirm-within", "20s")
	if !strings.Contains(out, "confirm it: holdfast-mgmt policy confirm") {
		t.Error(out)
	}
	kernels(2)
	h.do("policy", "cancel", "--cluster", "edge")
	h.settled("rolled-back")
	kernels(1)
	h.do("policy", "install", second, "--cluster", "edge", "--confirm-within", "20s")
	h.do("policy", "confirm", "--cluster", "edge")
	h.settled("confirmed")
	kernels(3)
	if code, _, errs := h.holdfast("policy", "install", h.file("bad.nft", "table inet t {\n\tchain c {\n\t\tip saddr 10.0.0.0/33 accept\n\t}\n}\n"), "--cluster", "edge"); code != exitError || !strings.Contains(errs, "bad.nft:3") {
		t.Errorf("a bad ruleset: %d %s", code, errs)
	}
	if out := h.do("policy", "diff", "--cluster", "edge"); !strings.Contains(out, "- ct state established, related accept") {
		t.Error(out)
	}
	h.do("policy", "rollback", "--cluster", "edge")
	if out := h.do("policy", "status", "--cluster", "edge"); !strings.Contains(out, "Status      ok") || !strings.Contains(out, "gw-b    here        4           ok") {
		t.Error(out)
	}
	if out := h.do("policy", "list", "--cluster", "edge"); !strings.Contains(out, "declined") || !strings.Contains(out, "back to generation 1") {
		t.Error(out)
	}
	kernels(4)
	bundle := filepath.Join(h.dir, "4.policy")
	h.do("policy", "fetch", "4", bundle, "--cluster", "edge")
	if file, err := os.ReadFile(bundle); err != nil {
		t.Error(err)
	} else if _, err := policy.Decode(file); err != nil {
		t.Error(err)
	}
}

// settled waits until the members report how the newest install ended.
func (h *host) settled(state string) {
	h.t.Helper()
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); {
		var v policyState
		if err := json.Unmarshal([]byte(h.do("policy", "status", "--cluster", "edge", "-o", "json")), &v); err != nil {
			h.t.Fatal(err)
		}
		n := 0
		for _, m := range v.Members {
			if m.Report != nil && m.Report.Attempt.State == state {
				n++
			}
		}
		if n == len(v.Members) {
			return
		}
	}
	h.t.Errorf("the members do not report %s", state)
}
