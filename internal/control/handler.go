// SPDX-License-Identifier: Apache-2.0

package control

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"time"
)

// handler routes the API. Followers of events end with ctx; other requests are finished.
func (s *Server) handler(ctx context.Context) http.Handler {
	mux := http.NewServeMux()
	b := s.Backend
	get(s, mux, "state", b.State)
	get(s, mux, "interfaces", b.Interfaces)
	get(s, mux, "devices", b.Devices)
	get(s, mux, "vips", b.VIPs)
	get(s, mux, "failovers", b.Failovers)
	get(s, mux, "history", b.History)
	get(s, mux, "timers", b.Timers)
	get(s, mux, "why", b.Why)
	get(s, mux, "counters", b.Counters)
	get(s, mux, "sync", b.Sync)
	get(s, mux, "sync/stats", b.SyncStats)
	get(s, mux, "load", b.Load)
	get(s, mux, "load/defines", b.LoadDefines)
	get(s, mux, "policy", b.Policy)
	get(s, mux, "policy/history", b.PolicyHistory)
	post(s, mux, "failover", b.Failover)
	post(s, mux, "failover/reset", b.ResetFailovers)
	post(s, mux, "admin", b.Admin)
	post(s, mux, "devices", b.Device)
	post(s, mux, "devices/batch", b.ManyDevices)
	post(s, mux, "freeze", b.Freeze)
	post(s, mux, "sync/verify", b.VerifySync)
	post(s, mux, "load/weight", b.LoadWeight)
	post(s, mux, "load/which", b.Which)
	order(s, mux, "sync/reset", b.ResetSync)
	order(s, mux, "policy/fetch", b.PolicyFetch)
	order(s, mux, "policy/unload", b.PolicyUnload)
	order(s, mux, "policy/resume", b.PolicyResume)
	mux.HandleFunc("GET /v1/policy/file", s.policyFile)
	mux.HandleFunc("POST /v1/policy/load", s.policyLoad)
	order(s, mux, "reload", b.Reload)
	order(s, mux, "stop", b.Stop)
	order(s, mux, "restart", b.Restart)
	mux.HandleFunc("GET /v1/events", func(w http.ResponseWriter, r *http.Request) { s.events(ctx, w, r) })
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		s.fail(w, NotFound(r.Method+" "+r.URL.Path+" is not in the API of this version", "compare the versions of holdfast and holdfastd"))
	})
	return mux
}

// get serves a call without a body.
func get[T any](s *Server, mux *http.ServeMux, path string, call func(context.Context) (T, error)) {
	mux.HandleFunc("GET /v1/"+path, func(w http.ResponseWriter, r *http.Request) { answer(s, w, r, call) })
}

// order serves a call that changes something and needs no arguments.
func order[T any](s *Server, mux *http.ServeMux, path string, call func(context.Context) (T, error)) {
	mux.HandleFunc("POST /v1/"+path, func(w http.ResponseWriter, r *http.Request) { answer(s, w, r, call) })
}

// post serves a call with a JSON body.
func post[In, Out any](s *Server, mux *http.ServeMux, path string, call func(context.Context, In) (Out, error)) {
	mux.HandleFunc("POST /v1/"+path, func(w http.ResponseWriter, r *http.Request) {
		var in In
		if err := read(w, r, &in); err != nil {
			s.fail(w, err)
			return
		}
		if v, ok := any(in).(interface{ Validate() error }); ok {
			if err := v.Validate(); err != nil {
				s.fail(w, err)
				return
			}
		}
		answer(s, w, r, func(ctx context.Context) (Out, error) { return call(ctx, in) })
	})
}

func answer[T any](s *Server, w http.ResponseWriter, r *http.Request, call func(context.Context) (T, error)) {
	ctx, cancel := context.WithTimeout(r.Context(), requestTimeout)
	defer cancel()
	out, err := call(ctx)
	if err != nil {
		s.fail(w, err)
		return
	}
	s.write(w, http.StatusOK, out)
}

func read(w http.ResponseWriter, r *http.Request, v any) error {
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return Invalid("the body of the request: "+err.Error(), "send one JSON object as the API describes it")
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return Invalid("the body of the request has more than one value", "send one JSON object")
	}
	return nil
}

func (s *Server) write(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Holdfast-Version", s.Version)
	w.WriteHeader(status)
	if err := json.NewEncoder(w).Encode(v); err != nil && s.Log != nil {
		s.Log.Debug("control answer", "error", err)
	}
}

func (s *Server) fail(w http.ResponseWriter, err error) {
	var e *Error
	switch {
	case errors.As(err, &e):
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		e = &Error{Code: CodeUnavailable, What: "the member did not answer in time", WayOut: "look at its log: journalctl -u holdfastd"}
	default:
		e = &Error{Code: CodeInternal, What: err.Error()}
	}
	s.write(w, e.status(), e)
}

// runHeader names the run of the daemon within which the events are numbered.
const runHeader = "Holdfast-Run"

// events writes the log, one JSON object a line, and with follow=1 goes on until the client, the server or the client's patience
// ends.
func (s *Server) events(ctx context.Context, w http.ResponseWriter, r *http.Request) {
	since, err := sequence(r.URL.Query().Get("since"))
	if err != nil {
		s.fail(w, err)
		return
	}
	if run := r.URL.Query().Get("run"); run != "" && run != s.Events.Run() {
		since = 0 // the number is that of another run
	}
	w.Header().Set(runHeader, s.Events.Run())
	follow := r.URL.Query().Get("follow") == "1"
	if follow {
		defer s.followers.Add(-1)
		if s.followers.Add(1) > maxFollowers {
			s.fail(w, &Error{Code: CodeUnavailable, What: strconv.Itoa(maxFollowers) + " programs follow the events already", WayOut: "end one of them, or ask without follow"})
			return
		}
	}
	w.Header().Set("Content-Type", "application/x-ndjson")
	w.Header().Set("Holdfast-Version", s.Version)
	out := http.NewResponseController(w)
	enc := json.NewEncoder(w)
	send := func(events []Event) bool {
		if err := out.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
			return false
		}
		for _, e := range events {
			if enc.Encode(e) != nil {
				return false
			}
			since = e.Seq
		}
		return out.Flush() == nil
	}
	if !send(s.Events.Since(since)) || !follow {
		return
	}
	// ReadTimeout is for requests; a follower is silent for good.
	if err := out.SetReadDeadline(time.Time{}); err != nil {
		return
	}
	both, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(ctx, cancel)()
	for {
		events, err := s.Events.Next(both, since)
		if err != nil || !send(events) {
			return
		}
	}
}

func sequence(text string) (uint64, error) {
	if text == "" {
		return 0, nil
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0, Invalid("since="+strconv.Quote(text)+" is not a sequence number", "use the seq of an event")
	}
	return n, nil
}
