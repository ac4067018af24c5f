// SPDX-License-Identifier: Apache-2.0

package prometheus

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// Sample is one series of a query's result.
type Sample struct {
	Labels map[string]string
	Value  float64
}

// Query evaluates an expression that yields an instant vector. No series is no error.
func (s *Server) Query(ctx context.Context, expr string) ([]Sample, error) {
	body, err := s.get(ctx, "/api/v1/query?query="+url.QueryEscape(expr))
	if err != nil {
		return nil, fmt.Errorf("prometheus: query %s: %w", expr, err)
	}
	var answer struct {
		Data struct {
			Result []struct {
				Metric map[string]string
				Value  [2]any // time, value as a string
			}
		}
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return nil, fmt.Errorf("prometheus: query %s: %w", expr, err)
	}
	var out []Sample
	for _, r := range answer.Data.Result {
		text, _ := r.Value[1].(string)
		v, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return nil, fmt.Errorf("prometheus: query %s: value %v: %w", expr, r.Value[1], err)
		}
		out = append(out, Sample{Labels: r.Metric, Value: v})
	}
	return out, nil
}

// Await repeats a query until done accepts its result, or until ctx ends.
func (s *Server) Await(ctx context.Context, expr string, done func([]Sample) bool) ([]Sample, error) {
	ticker := time.NewTicker(s.cfg.Every / 2)
	defer ticker.Stop()
	for {
		samples, err := s.Query(ctx, expr)
		if err == nil && done(samples) {
			return samples, nil
		}
		select {
		case <-ctx.Done():
			if err == nil {
				err = fmt.Errorf("result is %v", samples)
			}
			return nil, fmt.Errorf("prometheus: wait for %s: %w (%w)", expr, err, ctx.Err())
		case <-ticker.C:
		}
	}
}

// Targets returns the last error of each scraped address; an empty one is a target that is well.
func (s *Server) Targets(ctx context.Context) (map[string]string, error) {
	body, err := s.get(ctx, "/api/v1/targets")
	if err != nil {
		return nil, fmt.Errorf("prometheus: targets: %w", err)
	}
	var answer struct {
		Data struct {
			ActiveTargets []struct {
				Labels    map[string]string
				Health    string
				LastError string
			}
		}
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return nil, fmt.Errorf("prometheus: targets: %w", err)
	}
	out := map[string]string{}
	for _, t := range answer.Data.ActiveTargets {
		what := t.LastError
		if what == "" && t.Health != "up" {
			what = "health " + t.Health
		}
		out[t.Labels["instance"]] = what
	}
	return out, nil
}

// get reads a page of it.
func (s *Server) get(ctx context.Context, path string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.cfg.Listen.String()+path, nil)
	if err != nil {
		return nil, err
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 16<<20))
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", resp.Status, body)
	}
	return body, nil
}
