// SPDX-License-Identifier: Apache-2.0

package monitor

import (
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"log"
)

// web answers what its paths say.
func web() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { fmt.Fprintf(w, "host %s", r.Host) })
	mux.HandleFunc("/ill", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
	mux.HandleFunc("/away", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/ill", http.StatusFound) })
	mux.HandleFunc("/round", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/round", http.StatusFound) })
	mux.HandleFunc("/hangs", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	mux.HandleFunc("/endless", func(w http.ResponseWriter, _ *http.Request) {
		for {
			if _, err := io.WriteString(w, strings.Repeat("x", 4096)); err != nil {
				return
			}
		}
	})
	return mux
}

func TestHTTP(t *testing.T) {
	s := httptest.NewServer(web())
	defer s.Close()
	good(t, HTTP{URL: s.URL})
	good(t, HTTP{URL: s.URL, Host: "www.example.net", Body: "^host www.example.net$"})
	good(t, HTTP{URL: s.URL + "/ill", Status: []int{200, 503}})
	good(t, HTTP{URL: s.URL + "/away"}) // 302 is an answer
	bad(t, HTTP{URL: s.URL + "/away", Redirects: true}, "503 Service Unavailable")
	bad(t, HTTP{URL: s.URL + "/away", Status: []int{200}}, "302 Found")
	bad(t, HTTP{URL: s.URL + "/round", Redirects: true}, "more than 5 redirects")
	bad(t, HTTP{URL: s.URL + "/ill"}, "503 Service Unavailable")
	bad(t, HTTP{URL: s.URL, Body: "^up$"}, `the body does not match "^up$"`)
	bad(t, HTTP{URL: s.URL + "/endless", Body: "up"}, `does not match`)
	bad(t, HTTP{URL: s.URL + "/hangs"}, "no answer within the timeout")
	bad(t, HTTP{URL: "http://127.0.0.1:1/"}, "connection refused")
	bad(t, HTTP{URL: strings.Replace(s.URL, "http:", "https:", 1)}, "HTTP response to HTTPS client")
}

func TestHTTPS(t *testing.T) {
	s := httptest.NewUnstartedServer(web())
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	defer s.Close()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	if err := os.WriteFile(ca, text, 0o644); err != nil {
		t.Fatal(err)
	}
	good(t, HTTP{URL: s.URL, CA: ca})
	good(t, HTTP{URL: s.URL, CA: ca, ServerName: "example.com"})
	good(t, HTTP{URL: s.URL, NoVerify: true})
	bad(t, HTTP{URL: s.URL}, "certificate")
	bad(t, HTTP{URL: s.URL, CA: ca, ServerName: "other.example"}, "other.example")
	bad(t, HTTP{URL: s.URL, CA: ca + "x"}, "no such file")
	if err := os.WriteFile(ca, []byte("nothing"), 0o644); err != nil {
		t.Fatal(err)
	}
	bad(t, HTTP{URL: s.URL, CA: ca}, "there is none in "+ca)
}
