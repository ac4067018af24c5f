// SPDX-License-Identifier: Apache-2.0

package control_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/holdfast-project/holdfast/internal/control"
	"github.com/holdfast-project/holdfast/internal/control/controltest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func client(t *testing.T, b control.Backend) (*control.Client, *control.Events) {
	t.Helper()
	socket, events := controltest.Serve(t, b)
	c := control.NewClient(socket)
	t.Cleanup(c.Close)
	return c, events
}

// TestAnswersArriveWhole sends a filled value of every kind through a real socket: what the backend says is what the client gets.
func TestAnswersArriveWhole(t *testing.T) {
	b := &controltest.Backend{}
	for _, v := range []any{&b.StateV, &b.InterfacesV, &b.DevicesV, &b.VIPsV, &b.FailoversV, &b.TimersV, &b.WhyV, &b.CountersV, &b.ReloadV, &b.SyncV, &b.SyncStatsV, &b.SyncVerifyV} {
		fill(reflect.ValueOf(v).Elem())
	}
	c, _ := client(t, b)
	ctx := t.Context()
	for _, k := range []struct {
		name string
		got  func() (any, error)
		want any
	}{
		{"state", func() (any, error) { return c.State(ctx) }, b.StateV},
		{"interfaces", func() (any, error) { return c.Interfaces(ctx) }, b.InterfacesV},
		{"devices", func() (any, error) { return c.Devices(ctx) }, b.DevicesV},
		{"vips", func() (any, error) { return c.VIPs(ctx) }, b.VIPsV},
		{"failovers", func() (any, error) { return c.Failovers(ctx) }, b.FailoversV},
		{"timers", func() (any, error) { return c.Timers(ctx) }, b.TimersV},
		{"why", func() (any, error) { return c.Why(ctx) }, b.WhyV},
		{"counters", func() (any, error) { return c.Counters(ctx) }, b.CountersV},
		{"reload", func() (any, error) { return c.Reload(ctx) }, b.ReloadV},
		{"sync", func() (any, error) { return c.Sync(ctx) }, b.SyncV},
		{"sync stats", func() (any, error) { return c.SyncStats(ctx) }, b.SyncStatsV},
		{"sync verify", func() (any, error) { return c.VerifySync(ctx, control.SyncVerifyRequest{Member: "a"}) }, b.SyncVerifyV},
	} {
		got, err := k.got()
		if err != nil {
			t.Errorf("%s: %v", k.name, err)
		} else if !reflect.DeepEqual(got, k.want) {
			t.Errorf("%s:\n got %+v\nwant %+v", k.name, got, k.want)
		}
	}
}

// fill sets every field of v to something other than its zero value, so that a field without a place in JSON is noticed.
func fill(v reflect.Value) {
	switch v.Kind() {
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			v.Set(reflect.ValueOf(time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC)))
			return
		}
		for i := range v.NumField() {
			fill(v.Field(i))
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		fill(v.Index(0))
		fill(v.Index(1))
	case reflect.Map:
		e := reflect.New(v.Type().Elem()).Elem()
		fill(e)
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(reflect.ValueOf("key"), e)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem())
	case reflect.String:
		v.SetString("text")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Float64:
		v.SetFloat(1.5)
	case reflect.Int, reflect.Int64:
		v.SetInt(7)
	default:
		v.SetUint(9)
	}
}

func TestRequestsArrive(t *testing.T) {
	b := &controltest.Backend{}
	c, _ := client(t, b)
	ctx := t.Context()
	for _, f := range []func() (control.Result, error){
		func() (control.Result, error) {
			return c.Failover(ctx, control.FailoverRequest{To: "gw-b", For: control.Duration(10 * time.Minute)})
		},
		func() (control.Result, error) {
			return c.ResetFailovers(ctx, control.ResetRequest{Counter: true})
		},
		func() (control.Result, error) {
			return c.Admin(ctx, control.AdminRequest{Permanent: true})
		},
		func() (control.Result, error) {
			return c.Device(ctx, control.DeviceRequest{Action: "register", Name: "db", Status: "init", Timeout: control.Duration(time.Second), Persistent: true})
		},
		func() (control.Result, error) {
			return c.ManyDevices(ctx, control.DevicesRequest{Requests: []control.DeviceRequest{{Action: "unregister", Name: "a"}, {Action: "report", Name: "b", Status: "ok"}}})
		},
		func() (control.Result, error) {
			return c.Freeze(ctx, control.FreezeRequest{Frozen: true, For: control.Duration(time.Minute)})
		},
		func() (control.Result, error) { return c.PolicyFetch(ctx) },
		func() (control.Result, error) { return c.PolicyUnload(ctx) },
		func() (control.Result, error) { return c.PolicyResume(ctx) },
		func() (control.Result, error) { return c.PolicyLoad(ctx, make([]byte, 1<<20)) },
		func() (control.Result, error) { return c.Stop(ctx) },
		func() (control.Result, error) { return c.Restart(ctx) },
	} {
		if _, err := f(); err != nil {
			t.Error(err)
		}
	}
	want := []string{"failover to gw-b for 10m0s", "reset counter true history false", "admin up false permanent true",
		"device register db init timeout 1s persistent true: ", "device unregister a  timeout 0s persistent false: ",
		"device report b ok timeout 0s persistent false: ", "freeze true for 1m0s", "policy fetch", "policy unload", "policy resume", "policy load 1048576 bytes", "stop", "restart"}
	if got := b.Requests(); !reflect.DeepEqual(got, want) {
		t.Errorf("backend was asked\n%q, want\n%q", got, want)
	}
}

func TestRefusalsArrive(t *testing.T) {
	b := &controltest.Backend{Err: control.Refused("gw-b is DOWN", "see holdfast why")}
	c, _ := client(t, b)
	_, err := c.State(t.Context())
	var e *control.Error
	if !errors.As(err, &e) || e.Code != control.CodeRefused || err.Error() != "gw-b is DOWN; see holdfast why" {
		t.Errorf("got %#v", err)
	}
	b.Err = context.DeadlineExceeded
	if _, err = c.State(t.Context()); !errors.As(err, &e) || e.Code != control.CodeUnavailable {
		t.Errorf("got %#v, want unavailable", err)
	}
	b.Err = errors.New("disk on fire")
	if _, err = c.State(t.Context()); !errors.As(err, &e) || e.Code != control.CodeInternal {
		t.Errorf("got %#v, want internal", err)
	}
}

func TestBadRequests(t *testing.T) {
	b := &controltest.Backend{}
	socket, _ := controltest.Serve(t, b)
	hc := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}}}
	for _, k := range []struct {
		name, method, path, body string
		status                   int
		code                     control.Code
	}{
		{"unknown path", "GET", "/v1/nothing", "", 404, control.CodeNotFound},
		{"other version", "GET", "/v2/state", "", 404, control.CodeNotFound},
		{"wrong method", "POST", "/v1/state", "", 404, control.CodeNotFound},
		{"read that would change", "GET", "/v1/stop", "", 404, control.CodeNotFound},
		{"no body", "POST", "/v1/failover", "", 400, control.CodeInvalid},
		{"not JSON", "POST", "/v1/failover", "to gw-b", 400, control.CodeInvalid},
		{"two values", "POST", "/v1/failover", `{"to":"a"}{"to":"b"}`, 400, control.CodeInvalid},
		{"unknown field", "POST", "/v1/failover", `{"to":"a","now":true}`, 400, control.CodeInvalid},
		{"duration without unit", "POST", "/v1/failover", `{"to":"a","for":5}`, 400, control.CodeInvalid},
		{"nobody named", "POST", "/v1/failover", `{}`, 400, control.CodeInvalid},
		{"nothing to reset", "POST", "/v1/failover/reset", `{}`, 400, control.CodeInvalid},
		{"device with a space", "POST", "/v1/devices", `{"action":"report","name":"a b","status":"ok"}`, 400, control.CodeInvalid},
		{"unknown status", "POST", "/v1/devices", `{"action":"report","name":"a","status":"well"}`, 400, control.CodeInvalid},
		{"timeout too short", "POST", "/v1/devices", `{"action":"register","name":"a","status":"ok","timeout":"1ms"}`, 400, control.CodeInvalid},
		{"reason of two lines", "POST", "/v1/devices", `{"action":"report","name":"a","status":"ok","reason":"a\nb"}`, 400, control.CodeInvalid},
		{"empty batch", "POST", "/v1/devices/batch", `{"requests":[]}`, 400, control.CodeInvalid},
		{"one of a batch", "POST", "/v1/devices/batch", `{"requests":[{"action":"unregister","name":"a"},{"action":"report","name":"b"}]}`, 400, control.CodeInvalid},
		{"endless freeze", "POST", "/v1/freeze", `{"frozen":true,"for":"1h"}`, 400, control.CodeInvalid},
		{"unfreeze for a time", "POST", "/v1/freeze", `{"frozen":false,"for":"1m"}`, 400, control.CodeInvalid},
		{"endless body", "POST", "/v1/failover", `{"to":"` + strings.Repeat("a", 1<<20) + `"}`, 400, control.CodeInvalid},
		{"no policy", "POST", "/v1/policy/load", "", 400, control.CodeInvalid},
		{"endless policy", "POST", "/v1/policy/load", strings.Repeat("a", control.MaxPolicyFile+1), 400, control.CodeInvalid},
		{"no generation", "GET", "/v1/policy/file?generation=0", "", 400, control.CodeInvalid},
		{"unknown generation", "GET", "/v1/policy/file?generation=9", "", 404, control.CodeNotFound},
		{"bad sequence", "GET", "/v1/events?since=x", "", 400, control.CodeInvalid},
	} {
		req, err := http.NewRequestWithContext(t.Context(), k.method, "http://holdfast"+k.path, strings.NewReader(k.body))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := hc.Do(req)
		if err != nil {
			t.Errorf("%s: %v", k.name, err)
			continue
		}
		text, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		var e control.Error
		if err := json.NewDecoder(bytes.NewReader(text)).Decode(&e); err != nil {
			t.Errorf("%s: %q: %v", k.name, text, err)
		}
		if resp.StatusCode != k.status || e.Code != k.code || e.What == "" || e.WayOut == "" {
			t.Errorf("%s: %d %+v, want %d %s with what and way out", k.name, resp.StatusCode, e, k.status, k.code)
		}
	}
	if r := b.Requests(); len(r) > 0 {
		t.Errorf("the backend was asked all the same: %q", r)
	}
}

func TestSocket(t *testing.T) {
	socket, _ := controltest.Serve(t, &controltest.Backend{})
	info, err := os.Stat(socket)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("socket has mode %v: others could stop the cluster", info.Mode())
	}
	if _, err := control.Listen(t.Context(), socket); err == nil || !strings.Contains(err.Error(), "another daemon") {
		t.Errorf("a second daemon took the socket: %v", err)
	}
}

func TestStaleSocketIsReplaced(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	_ = l.Close()
	again, err := control.Listen(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	_ = again.Close()
}

// TestOnlySocketsAreReplaced: a path that is mistaken costs nobody a file.
func TestOnlySocketsAreReplaced(t *testing.T) {
	path := filepath.Join(t.TempDir(), "cluster.yaml")
	if err := os.WriteFile(path, []byte("id: 7\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if l, err := control.Listen(t.Context(), path); err == nil || !strings.Contains(err.Error(), "something else is there") {
		if err == nil {
			_ = l.Close()
		}
		t.Errorf("listening at a file: %v", err)
	}
	if text, err := os.ReadFile(path); err != nil || string(text) != "id: 7\n" {
		t.Errorf("the file is %q, %v", text, err)
	}
}

func TestNoDaemon(t *testing.T) {
	c := control.NewClient(filepath.Join(t.TempDir(), "none"))
	defer c.Close()
	if _, err := c.State(t.Context()); !errors.Is(err, control.ErrNoDaemon) || !strings.Contains(err.Error(), "--socket") {
		t.Errorf("got %v", err)
	}
}
