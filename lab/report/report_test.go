// SPDX-License-Identifier: Apache-2.0

package report

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write the golden files anew")

// golden compares got with a file of testdata.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs (go test -update writes it anew):\n%s\nwant:\n%s", path, got, want)
	}
}

var began = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func at(ms int) time.Time { return began.Add(time.Duration(ms) * time.Millisecond) }

func results() []Result {
	var t Timeline
	t.Add(Event{At: at(1031), Kind: Serve, Subject: "ext", Text: "fw2 answers for 10.1.0.1"})
	t.Add(Event{At: at(1000), Kind: Fault, Subject: "fw1", Text: "power-off"})
	t.Add(Event{At: at(1032), Kind: State, Subject: "fw2", Text: "STANDBY -> ACTIVE"})
	t.Add(Event{At: at(1033), Kind: Gap, Subject: "client1>server1 v4", Text: "32 packets lost", Lasted: 32400 * time.Microsecond})
	failed := t.Events()
	failed = append(failed, Event{At: at(1040), Kind: Dual, Subject: "ext", Text: "fw1 and fw2 answer for 10.1.0.1", Lasted: 20 * time.Millisecond, Bad: true})
	return []Result{
		{
			Name: "power-off", Started: began, Took: 2 * time.Second, Events: t.Events(), Files: []string{"ext.pcapng"},
			Checks: []Check{{Text: "gap at most 36 ms", Got: "32.4 ms", Passed: true}, {Text: "never two", Got: "0 of 812 probes", Passed: true}},
		},
		{
			Name: "broken <peer>", Started: began, Took: 3 * time.Second, Events: failed,
			Checks: []Check{{Text: "never two", Got: "2 of 812 probes", Passed: false}},
		},
		{Name: "not to be had", Started: began, Err: "topology: too few members"},
	}
}

func TestWriteText(t *testing.T) {
	for name, style := range map[string]Style{"plain.txt": {}, "color.txt": {Color: true}} {
		var b bytes.Buffer
		for _, r := range results() {
			if err := WriteText(&b, r, style); err != nil {
				t.Fatal(err)
			}
		}
		golden(t, name, b.Bytes())
	}
}

func TestWriteJSON(t *testing.T) {
	var b bytes.Buffer
	if err := WriteJSON(&b, results()); err != nil {
		t.Fatal(err)
	}
	golden(t, "results.json", b.Bytes())
	var doc struct {
		Passed  bool
		Results []Result
	}
	if err := json.Unmarshal(b.Bytes(), &doc); err != nil {
		t.Fatal(err)
	}
	if doc.Passed || len(doc.Results) != 3 || !doc.Results[0].Passed() {
		t.Errorf("%+v", doc)
	}
}

func TestWriteJUnit(t *testing.T) {
	var b bytes.Buffer
	if err := WriteJUnit(&b, "lab", results()); err != nil {
		t.Fatal(err)
	}
	golden(t, "junit.xml", b.Bytes())
	var s junitSuite
	if err := xml.Unmarshal(b.Bytes(), &s); err != nil {
		t.Fatal(err)
	}
	if s.Tests != 3 || s.Failures != 1 || s.Errors != 1 {
		t.Errorf("tests %d failures %d errors %d, want 3 1 1", s.Tests, s.Failures, s.Errors)
	}
}

func TestTable(t *testing.T) {
	table := Table{Title: "Faults", Columns: []string{"fault", "gap", "lost", "two at once"}}
	table.Add(false, "power-off", "32.4 ms", "32", "never")
	table.Add(true, "cable pull", "1204 ms", "1203", "20.0 ms")
	table.Add(false, "graceful", "-", "0", "never")
	var b bytes.Buffer
	if err := table.Write(&b, Style{}); err != nil {
		t.Fatal(err)
	}
	golden(t, "table.txt", b.Bytes())
}

func TestChart(t *testing.T) {
	c := Chart{From: at(0), At: at(50), Cell: 10 * time.Millisecond, Rows: []Strip{
		{Label: "client1>server1 v4", Cells: "########...####"},
		{Label: "ext answers", Cells: "111111!1...2222"},
	}}
	for name, style := range map[string]Style{"chart.txt": {}, "chart-color.txt": {Color: true}} {
		var b bytes.Buffer
		if err := c.Write(&b, style); err != nil {
			t.Fatal(err)
		}
		golden(t, name, b.Bytes())
	}
}

func TestLiveKeepsTheStatusBelow(t *testing.T) {
	var b bytes.Buffer
	l := NewLive(&b, Style{Color: true})
	l.Status("one")
	l.Print("line\n")
	l.Status("two")
	if got, want := b.String(), "one\r\x1b[Kline\none\r\x1b[Ktwo"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	b.Reset()
	NewLive(&b, Style{Color: true, Columns: 8}).Status("wíder than it")
	if got := b.String(); got != "wíder t" {
		t.Errorf("on a narrow terminal: %q", got)
	}
	b.Reset()
	plain := NewLive(&b, Style{})
	plain.Status("one")
	plain.Print("line")
	if got := b.String(); got != "line\n" {
		t.Errorf("without a terminal: %q", got)
	}
}

type full struct{}

var errFull = errors.New("disk full")

func (full) Write([]byte) (int, error) { return 0, errFull }

func TestWriteErrorsAreReported(t *testing.T) {
	r := results()
	if err := WriteText(full{}, r[0], Style{}); !errors.Is(err, errFull) {
		t.Errorf("text: %v", err)
	}
	if err := WriteJSON(full{}, r); !errors.Is(err, errFull) {
		t.Errorf("JSON: %v", err)
	}
	if err := WriteJUnit(full{}, "lab", r); !errors.Is(err, errFull) {
		t.Errorf("JUnit: %v", err)
	}
	l := NewLive(full{}, Style{})
	l.Print("x")
	if !errors.Is(l.Err(), errFull) {
		t.Errorf("live: %v", l.Err())
	}
}

func TestTimelineSortsAndTells(t *testing.T) {
	var tl Timeline
	var told []string
	tl.Watch(func(e Event) { told = append(told, e.Text) })
	tl.Add(Event{At: at(2), Text: "b"})
	tl.Add(Event{At: at(1), Text: "a"})
	events := tl.Events()
	if events[0].Text != "a" || events[1].Text != "b" || len(told) != 2 || told[0] != "b" {
		t.Errorf("events %v, told %v", events, told)
	}
}
