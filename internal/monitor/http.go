// SPDX-License-Identifier: Apache-2.0

package monitor

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"

	"github.com/holdfast-project/holdfast/internal/monitor/verdict"
)

// maxRedirects bounds redirects that are followed.
const maxRedirects = 5

// httpCheck checks what a web server answers.
type httpCheck struct {
	polled
	HTTP
}

func newHTTP(h HTTP) *httpCheck { return &httpCheck{HTTP: h} }

func (h *httpCheck) check(ctx context.Context) verdict.Result {
	client, err := h.client()
	if err != nil {
		return verdict.Wrong(err.Error())
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, h.URL, nil)
	if err != nil {
		return verdict.Wrong(err.Error())
	}
	req.Header.Set("User-Agent", "holdfast")
	if h.Host != "" {
		req.Host = h.Host
	}
	answer, err := client.Do(req)
	if err != nil {
		var u *url.Error
		if errors.As(err, &u) {
			err = u.Err
		}
		return verdict.Wrong(h.URL + ": " + inWords(ctx, err))
	}
	defer answer.Body.Close()
	if !h.well(answer.StatusCode) {
		return verdict.Wrong(h.URL + ": " + answer.Status)
	}
	if h.Body == "" {
		return verdict.Fine()
	}
	wanted, err := regexp.Compile(h.Body)
	if err != nil {
		return verdict.Wrong(err.Error())
	}
	body, err := io.ReadAll(io.LimitReader(answer.Body, answerRead))
	if err != nil {
		return verdict.Wrong(h.URL + ": " + inWords(ctx, err))
	}
	if !wanted.Match(body) {
		return verdict.Wrong(fmt.Sprintf("%s: the body does not match %q", h.URL, h.Body))
	}
	return verdict.Fine()
}

func (h *httpCheck) well(code int) bool {
	if len(h.Status) > 0 {
		return slices.Contains(h.Status, code)
	}
	return code >= 200 && code < 400
}

// client is a new one each time: a check that reuses a connection would not notice that no new one is accepted, nor a certificate that
// was replaced.
func (h *httpCheck) client() (*http.Client, error) {
	conf := &tls.Config{ServerName: h.ServerName, InsecureSkipVerify: h.NoVerify, MinVersion: tls.VersionTLS12}
	if h.CA != "" {
		text, err := head(h.CA, fileRead)
		if err != nil {
			return nil, fmt.Errorf("certificates to trust: %w", err)
		}
		conf.RootCAs = x509.NewCertPool()
		if !conf.RootCAs.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("certificates to trust: there is none in %s", h.CA)
		}
	}
	redirect := func(_ *http.Request, via []*http.Request) error {
		if !h.Redirects {
			return http.ErrUseLastResponse
		}
		if len(via) > maxRedirects {
			return fmt.Errorf("more than %d redirects", maxRedirects)
		}
		return nil
	}
	return &http.Client{CheckRedirect: redirect, Transport: &http.Transport{
		DialContext: h.From.dial, TLSClientConfig: conf, DisableKeepAlives: true, DisableCompression: true,
		MaxResponseHeaderBytes: answerRead,
	}}, nil
}
