// SPDX-License-Identifier: Apache-2.0

package report

import (
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"strings"
	"time"
)

// WriteJSON writes results as one JSON document: {"passed": bool, "results": [...]}. Times are RFC 3339, durations ns.
func WriteJSON(w io.Writer, results []Result) error {
	doc := struct {
		Passed  bool     `json:"passed"`
		Results []Result `json:"results"`
	}{Passed: true, Results: results}
	for _, r := range results {
		doc.Passed = doc.Passed && !r.Failed()
	}
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	if err := enc.Encode(doc); err != nil {
		return fmt.Errorf("report: write JSON: %w", err)
	}
	return nil
}

// The elements of JUnit XML that continuous integration servers agree on.
type (
	junitSuite struct {
		XMLName   xml.Name    `xml:"testsuite"`
		Name      string      `xml:"name,attr"`
		Tests     int         `xml:"tests,attr"`
		Failures  int         `xml:"failures,attr"`
		Errors    int         `xml:"errors,attr"`
		Time      string      `xml:"time,attr"`
		Timestamp string      `xml:"timestamp,attr,omitempty"`
		Cases     []junitCase `xml:"testcase"`
	}
	junitCase struct {
		Class   string        `xml:"classname,attr"`
		Name    string        `xml:"name,attr"`
		Time    string        `xml:"time,attr"`
		Failure *junitMessage `xml:"failure"`
		Error   *junitMessage `xml:"error"`
		// Flaky is what Surefire calls a failure after which the test passed.
		Flaky *junitMessage `xml:"flakyFailure"`
		Out   string        `xml:"system-out,omitempty"`
	}
	junitMessage struct {
		Message string `xml:"message,attr"`
		Text    string `xml:",chardata"`
	}
)

// WriteJUnit writes results as JUnit XML: one test case per scenario, its timeline as output, its failed expectations as failure.
func WriteJUnit(w io.Writer, suite string, results []Result) error {
	s := junitSuite{Name: suite, Tests: len(results)}
	var total time.Duration
	for _, r := range results {
		total += r.Took
		c := junitCase{Class: suite, Name: r.Name, Time: seconds(r.Took)}
		var out strings.Builder
		if err := WriteText(&out, r, Style{}); err != nil {
			return fmt.Errorf("report: write JUnit: %w", err)
		}
		c.Out = out.String()
		switch {
		case r.Unsteady:
			c.Flaky = failure(r)
		case r.Err != "":
			s.Errors++
			c.Error = &junitMessage{Message: r.Err, Text: r.Err}
		case !r.Passed():
			s.Failures++
			c.Failure = failure(r)
		}
		s.Cases = append(s.Cases, c)
	}
	if len(results) > 0 {
		s.Timestamp = results[0].Started.UTC().Format("2006-01-02T15:04:05")
	}
	s.Time = seconds(total)
	enc := xml.NewEncoder(w)
	enc.Indent("", "  ")
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return fmt.Errorf("report: write JUnit: %w", err)
	}
	if err := enc.Encode(s); err != nil {
		return fmt.Errorf("report: write JUnit: %w", err)
	}
	_, err := io.WriteString(w, "\n")
	return err
}

func failure(r Result) *junitMessage {
	var lines []string
	if r.Err != "" {
		lines = append(lines, r.Err)
	}
	for _, c := range r.Checks {
		if !c.Passed {
			lines = append(lines, c.Text+": "+c.Got)
		}
	}
	return &junitMessage{Message: lines[0], Text: strings.Join(lines, "\n")}
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.3f", d.Seconds()) }
