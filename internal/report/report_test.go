package report

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"ingot/internal/history"
)

var update = flag.Bool("update", false, "write the golden files")

// pageOf is the report of a file of events.
func pageOf(t *testing.T, text string, alive bool) string {
	t.Helper()
	run, err := history.Read(strings.NewReader(text), Options(), alive)
	if err != nil {
		t.Fatal(err)
	}
	var page bytes.Buffer
	if err := Write(&page, run); err != nil {
		t.Fatal(err)
	}
	wantSound(t, page.String())
	return page.String()
}

var (
	anchor = regexp.MustCompile(`href="([^"]*)"`)
	place  = regexp.MustCompile(`id="([^"]*)"`)
	// outside is whatever would make a browser fetch or run something.
	outside = regexp.MustCompile(`(?i)<(script|link|img|iframe|object|embed|form|base|svg)\b|url\(|@import|\b(src|srcset|onclick|onload)=|="(https?:|javascript:|//)`)
)

// wantSound checks what is true of every page: each element is closed where it
// should be, links stay inside, and nothing is fetched.
func wantSound(t *testing.T, page string) {
	t.Helper()
	wantClosed(t, page)
	if m := outside.FindString(page); m != "" {
		t.Errorf("the page has %q", m)
	}
}

func wantClosed(t *testing.T, page string) {
	t.Helper()
	var open []string
	for rest := page[strings.Index(page, "<html"):]; ; {
		_, after, found := strings.Cut(rest, "<")
		if !found {
			break
		}
		tag, after, _ := strings.Cut(after, ">")
		rest = after
		name, _, _ := strings.Cut(tag, " ")
		closed, isEnd := strings.CutPrefix(name, "/")
		switch {
		case name == "meta" || name == "br":
		case !isEnd:
			open = append(open, name)
		case len(open) == 0 || open[len(open)-1] != closed:
			t.Fatalf("</%s> closes %q", closed, open)
		default:
			open = open[:len(open)-1]
		}
	}
	if len(open) > 0 {
		t.Errorf("%q is not closed", open)
	}
	ids := map[string]bool{}
	for _, m := range place.FindAllStringSubmatch(page, -1) {
		if ids[m[1]] {
			t.Errorf("two places have the id %s", m[1])
		}
		ids[m[1]] = true
	}
	for _, m := range anchor.FindAllStringSubmatch(page, -1) {
		if !ids[strings.TrimPrefix(m[1], "#")] {
			t.Errorf("%s leads nowhere", m[1])
		}
	}
}

// TestReports compares whole pages, without the style, for the runs in testdata.
func TestReports(t *testing.T) {
	files, err := filepath.Glob("testdata/*.jsonl")
	if err != nil || len(files) < 2 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			page := strings.Replace(pageOf(t, string(text), false), style, "", 1)
			golden := strings.TrimSuffix(file, "jsonl") + "html"
			if *update {
				if err := os.WriteFile(golden, []byte(page), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if page != string(want) {
				t.Errorf("%s is out of date: run the test with -update, and look at it\n%s", golden, page)
			}
		})
	}
}

// Ensure that no text of a run becomes a part of the page's own language.
func TestTextsAreEscaped(t *testing.T) {
	const evil = `</pre><script>alert(1)</script><img src=x onerror=\"x()\"> ' onmouseover=x ` + "`" + ` </style> javascript:x url(http://x)`
	text := `{"type":"history","format":1,"template":"EVIL","dir":"EVIL","version":"EVIL","flags":["EVIL"],"run_id":"EVIL"}
{"type":"diagnostic","severity":"EVIL","summary":"EVIL","detail":"EVIL","file":"EVIL","line":1}
{"type":"run_started","builds":["EVIL"]}
{"type":"warning","summary":"EVIL","detail":"EVIL"}
{"type":"build_started","build":"EVIL"}
{"type":"phase_started","build":"EVIL","phase":"EVIL","ms":10}
{"type":"wait_ended","build":"EVIL","for":"EVIL","stages":[{"name":"EVIL","state":"EVIL","took_ms":5}],"elapsed_ms":9,"error":"EVIL","ms":20}
{"type":"step_started","build":"EVIL","step":"provisioner[0].EVIL","step_name":"EVIL","ms":20}
{"type":"output","build":"EVIL","step":"provisioner[0].EVIL","stream":"stderr","line":"EVIL"}
{"type":"retrying","build":"EVIL","step":"provisioner[0].EVIL","what":"EVIL","class":"EVIL","error":"EVIL","ms":25}
{"type":"step_ended","build":"EVIL","step":"provisioner[0].EVIL","error":"EVIL","ms":30}
{"type":"resource_released","build":"EVIL","resource":{"kind":"EVIL","token":"EVIL","id":"EVIL"},"error":"EVIL"}
{"type":"build_ended","build":"EVIL","ms":40,"error":"EVIL","artifacts":[{"producer":"EVIL","id":"EVIL","summary":"EVIL","files":[{"path":"EVIL","digest":"EVIL"}],"images":[{"provider":"EVIL","id":"EVIL"}]}]}
{"type":"run_ended","interrupted":"EVIL","failed":1}
`
	page := pageOfHostile(t, strings.ReplaceAll(text, "EVIL", evil))
	for _, bad := range []string{"<script", "<img", "</pre><script", `onerror="`, "</style> "} {
		if strings.Contains(page, bad) {
			i := strings.Index(page, bad)
			t.Errorf("%q is in the page: %s", bad, page[max(0, i-80):i+40])
		}
	}
	if n := strings.Count(page, "&lt;script&gt;"); n < 30 {
		t.Errorf("only %d texts are there", n)
	}
}

// pageOfHostile does not look for words that are harmless as text.
func pageOfHostile(t *testing.T, text string) string {
	t.Helper()
	run, err := history.Read(strings.NewReader(text), Options(), false)
	if err != nil || run.Damaged > 0 {
		t.Fatal(err, run.Damaged)
	}
	var page bytes.Buffer
	if err := Write(&page, run); err != nil {
		t.Fatal(err)
	}
	return page.String()
}

// FuzzPage: whatever a record holds, the page that is made of it is whole.
func FuzzPage(f *testing.F) {
	const head = `{"type":"history","format":1}` + "\n"
	f.Add(head + `{"type":"build_ended","build":"<b>","error":"</pre>","artifacts":[null,{"summary":"x"}]}` + "\n")
	f.Add(head + `{"type":"step_started","build":"a","step":"provisioner[0].x"}` + "\n" + `{"type":"output","build":"a","step":"provisioner[0].x","line":"<i"}` + "\n")
	f.Add(head + `{"type":"wait_ended","build":"a","for":"w","elapsed_ms":5,"stages":[{"name":"s","took_ms":5}]}` + "\n" + `{"type":"diagnostic","severity":"e"}` + "\n")
	page, err := newTemplate()
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text string) {
		run, err := history.Read(strings.NewReader(text), Options(), false)
		if err != nil {
			return
		}
		var out bytes.Buffer
		if err := page.Execute(&out, newView(run)); err != nil {
			t.Fatal(err)
		}
		wantClosed(t, out.String())
	})
}

func TestTicksAreRoundAndFew(t *testing.T) {
	for total, want := range map[time.Duration]string{
		time.Millisecond:           "0s 1ms",
		1071 * time.Millisecond:    "0s 100ms",
		95 * time.Second:           "0s 10s",
		10 * time.Minute:           "0s 1m00s",
		100 * 365 * 24 * time.Hour: "0s",
	} {
		ticks := maker{scale: scale{total}}.ticks()
		text := ticks[0].Text
		if len(ticks) > 1 {
			text += " " + ticks[1].Text
		}
		if len(ticks) > 12 || !strings.HasPrefix(strings.TrimSpace(text), want) && total < time.Hour && total > time.Millisecond {
			t.Errorf("%s: %d ticks, %s", total, len(ticks), text)
		}
	}
}

// Ensure that a run that prints much does not make a page that no browser opens.
func TestLongLogsAreCut(t *testing.T) {
	var text strings.Builder
	text.WriteString(`{"type":"history","format":1}
{"type":"build_started","build":"a"}
{"type":"phase_started","build":"a","phase":"provision"}
{"type":"step_started","build":"a","step":"provisioner[0].shell"}
`)
	for i := range 5000 {
		fmt.Fprintf(&text, `{"type":"output","build":"a","step":"provisioner[0].shell","line":"line %d"}`+"\n", i)
	}
	page := pageOf(t, text.String(), true)
	for want, is := range map[string]bool{"line 0\n": true, "line 199\n": true, "line 200\n": false, "line 4000\n": true, "line 4999\n": true, "3800 lines are left out here": true, `badge running`: true} {
		if strings.Contains(page, want) != is {
			t.Errorf("%q: want %v", want, is)
		}
	}
}
