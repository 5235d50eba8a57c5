package windowsupdate

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/zclconf/go-cty/cty"

	"ingot/internal/component"
	"ingot/internal/component/componenttest"
	"ingot/internal/testkit/wincomm"
	"ingot/internal/winguest"
)

func texts(values ...string) cty.Value {
	out := make([]cty.Value, len(values))
	for i, v := range values {
		out[i] = cty.StringVal(v)
	}
	return cty.ListVal(out)
}

func TestContract(t *testing.T) {
	componenttest.Provisioner(t, componenttest.ProvisionerConfig{
		New: New,
		Valid: componenttest.Configs{
			"defaults": {},
			"all": {
				"search_criteria": cty.StringVal("IsInstalled=0"), "filters": texts("exclude:$_.Title -like '*Preview*'", "include:$true"),
				"update_limit": cty.NumberIntVal(25), "update_timeout": cty.StringVal("1h"), "restart_timeout": cty.StringVal("1h"),
				"reboot_limit": cty.NumberIntVal(3), "username": cty.StringVal("vagrant"), "password": cty.StringVal("vagrant"),
			},
			"only excludes": {"filters": texts("exclude:$_.Title -like '*Preview*'")},
		},
		Invalid: componenttest.Configs{
			"negative update":   {"update_timeout": cty.StringVal("-1s")},
			"negative restart":  {"restart_timeout": cty.StringVal("-1s")},
			"negative limit":    {"update_limit": cty.NumberIntVal(-1)},
			"negative reboots":  {"reboot_limit": cty.NumberIntVal(-1)},
			"password alone":    {"password": cty.StringVal("x")},
			"no action":         {"filters": texts("$true")},
			"unknown action":    {"filters": texts("only:$true")},
			"no expression":     {"filters": texts("include: ")},
			"one of them wrong": {"filters": texts("include:$true", "exclude")},
		},
		Target: func(_ testing.TB, r component.Run) component.Target {
			w := newWindows(t, kb("5000001"))
			r.Clock = w
			return component.Target{Run: r, Comm: w}
		},
	})
}

func TestWarnsWhenNothingIsIncluded(t *testing.T) {
	_, diags := New().Plan(t.Context(), New().Schema().Object(map[string]cty.Value{"filters": texts("exclude:$true")}))
	if len(diags) != 1 || diags.HasErrors() {
		t.Errorf("got %v", diags)
	}
}

// TestUpdatesUntilNothingIsLeft: what an update makes possible is installed too.
func TestUpdatesUntilNothingIsLeft(t *testing.T) {
	stack, definitions := kb("5000001"), kb("5000003")
	cumulative := kb("5000002")
	cumulative.needs = stack
	definitions.reboot, definitions.Size = false, 5000
	w := newWindows(t, stack, cumulative, definitions)
	w.prints = "a banner\r\n"
	events, err := apply(t.Context(), w, nil)
	if err != nil {
		t.Fatal(err)
	}
	if !stack.done || !cumulative.done || !definitions.done || w.restarts != 2 || w.searches != 3 {
		t.Errorf("done %t %t %t after %d restarts and %d searches", stack.done, cumulative.done, definitions.done, w.restarts, w.searches)
	}
	want := `Looking for updates...
Found 2 updates to install, at most 300 MB.
  1/2 Update for Windows (KB5000001) (300 MB)
  2/2 Update for Windows (KB5000003) (5 KB)
Downloading 1/2 (0%): Update for Windows (KB5000001)
Downloading 2/2 (99%): Update for Windows (KB5000003)
Installing 1/2 (0%): Update for Windows (KB5000001)
Installing 2/2 (50%): Update for Windows (KB5000003)
Installed 2 of 2 updates; a restart is needed.
Restarting the machine...
Waiting for the machine to restart...
Looking for updates...
Found 1 update to install, at most 300 MB.
  1/1 Update for Windows (KB5000002) (300 MB)
Downloading 1/1 (0%): Update for Windows (KB5000002)
Installing 1/1 (0%): Update for Windows (KB5000002)
Installed 1 of 1 update; a restart is needed.
Restarting the machine...
Waiting for the machine to restart...
Looking for updates...
Found no updates to install.
The machine is up to date: 3 updates installed, 2 restarts.
`
	if diff := cmp.Diff(want, events.Said()); diff != "" {
		t.Error(diff)
	}
	if got := events.Lines(component.Stdout); len(got) != 3 || got[0] != "a banner" {
		t.Errorf("the output is %q", got)
	}
	for _, as := range w.as {
		if as != "SYSTEM:" {
			t.Errorf("ran as %q", as)
		}
	}
	nothingLeft(t, w)
}

// nothingLeft checks that every script that was uploaded was removed.
func nothingLeft(t *testing.T, w *windows) {
	t.Helper()
	for path := range w.Files() {
		removed := false
		for _, c := range w.Calls() {
			removed = removed || strings.Contains(c.Script, "Remove-Item -LiteralPath $path") && strings.Contains(c.Script, "'"+path+"'")
		}
		if !removed {
			t.Errorf("%s is left", path)
		}
	}
}

func TestSelection(t *testing.T) {
	preview, asking, first, second := kb("5000001"), kb("5000002"), kb("5000003"), kb("5000004")
	preview.Title += " Preview"
	asking.asks = true
	w := newWindows(t, preview, asking, first, second)
	events, err := apply(t.Context(), w, map[string]cty.Value{
		"search_criteria": cty.StringVal("IsInstalled=0"), "update_limit": cty.NumberIntVal(1),
		"filters":  texts("exclude:$_.Title -like '*Preview*'", "include:$true"),
		"username": cty.StringVal("vagrant"), "password": cty.StringVal("s3cret"),
	})
	if err != nil {
		t.Fatal(err)
	}
	if preview.tries+asking.tries != 0 || !first.done || !second.done || w.restarts != 2 {
		t.Errorf("tries %d %d, done %t %t, %d restarts", preview.tries, asking.tries, first.done, second.done, w.restarts)
	}
	if r := w.requests[0]; r.Criteria != "IsInstalled=0" || r.Limit != 1 || w.as[0] != "vagrant:s3cret" {
		t.Errorf("asked for %+v as %s", r, w.as[0])
	}
	if said := events.Said(); !strings.Contains(said, "Found 1 update to install, at most 300 MB. The filters leave out 1. The limit (update_limit) leaves 1 for later.") {
		t.Errorf("said %s", said)
	}
	if !warned(events, "KB5000002", "asks questions") {
		t.Error("nothing says that an update asks questions")
	}
}

func warned(events *componenttest.Events, words ...string) bool {
	for _, e := range events.All() {
		w, ok := e.(component.Warning)
		for _, word := range words {
			ok = ok && strings.Contains(w.Detail, word)
		}
		if ok {
			return true
		}
	}
	return false
}

// TestRestartThatIsDueComesFirst: Windows installs nothing before.
func TestRestartThatIsDueComesFirst(t *testing.T) {
	w := newWindows(t, kb("5000001"))
	w.pending = true
	events, err := apply(t.Context(), w, nil)
	if err != nil || w.restarts != 2 || !w.offers[0].done {
		t.Errorf("%v after %d restarts", err, w.restarts)
	}
	if !strings.Contains(events.Said(), "has to restart before updates can be installed") {
		t.Error(events.Said())
	}
}

// TestRestartLoopNamesTheUpdate: one that Windows takes back each time.
func TestRestartLoopNamesTheUpdate(t *testing.T) {
	bad, good := kb("5000009"), kb("5000001")
	bad.rolledBack = true
	w := newWindows(t, good, bad)
	_, err := apply(t.Context(), w, nil)
	if err == nil || !strings.Contains(err.Error(), "restart loop: Update for Windows (KB5000009) was installed 3 times") ||
		!strings.Contains(err.Error(), `"exclude:@($_.KBArticleIDs) -contains '5000009'"`) {
		t.Errorf("got %v", err)
	}
	if strings.Contains(fmt.Sprint(err), "5000001") {
		t.Errorf("another update is named: %v", err)
	}
	if w.restarts != 3 || bad.tries != 3 || good.tries != 1 {
		t.Errorf("%d restarts, %d and %d installations", w.restarts, bad.tries, good.tries)
	}
	nothingLeft(t, w)
}

func TestRestartsWithoutEnd(t *testing.T) {
	w := newWindows(t)
	w.pending, w.stubborn = true, true
	if _, err := apply(t.Context(), w, nil); err == nil || !strings.Contains(err.Error(), "restart loop: the machine has restarted 3 times") || w.restarts != 3 {
		t.Errorf("got %v after %d restarts", err, w.restarts)
	}
}

func TestRebootLimit(t *testing.T) {
	var chain []*offer
	for i := range 4 {
		o := kb(fmt.Sprintf("500000%d", i))
		if i > 0 {
			o.needs = chain[i-1]
		}
		chain = append(chain, o)
	}
	for limit, works := range map[int64]bool{0: false, 3: false, 4: true} {
		for _, o := range chain {
			o.done, o.installed, o.tries = false, false, 0
		}
		w := newWindows(t, chain...)
		_, err := apply(t.Context(), w, map[string]cty.Value{"reboot_limit": cty.NumberIntVal(limit)})
		if works && err != nil || !works && (err == nil || !strings.Contains(err.Error(), "(reboot_limit); the last updates were: Update for Windows (KB") || w.restarts != int(limit)) {
			t.Errorf("limit %d: %v after %d restarts", limit, err, w.restarts)
		}
	}
}

func TestUpdateThatFails(t *testing.T) {
	for name, c := range map[string]struct {
		fails    int
		code     hresult
		download hresult
		want     string
	}{
		"once":       {fails: 1, code: 0x80240016},
		"twice":      {fails: 2, code: 0x800F0922},
		"always":     {fails: 9, code: 0x800F0922, want: "the installation of Update for Windows (KB5000002) failed: 0x800F0922 CBS_E_INSTALLERS_FAILED, "},
		"unknown":    {fails: 9, code: 0x80001234, want: "0x80001234; Get-WindowsUpdateLog"},
		"a download": {download: 0x80070070, want: "the download of Update for Windows (KB5000002) failed: 0x80070070 ERROR_DISK_FULL"},
	} {
		t.Run(name, func(t *testing.T) {
			bad, good := kb("5000002"), kb("5000001")
			bad.fails, bad.code, bad.downloadCode = c.fails, c.code, c.download
			w := newWindows(t, bad, good)
			events, err := apply(t.Context(), w, nil)
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "exclude:")) {
				t.Errorf("got %v", err)
			}
			if !good.done || bad.done != (c.want == "") {
				t.Errorf("done: %t, %t", good.done, bad.done)
			}
			if !warned(events, "Attempt 1 of 3: ", "KB5000002") {
				t.Error("nothing is said of the first failure")
			}
			if bad.tries > 3 {
				t.Errorf("tried %d times", bad.tries)
			}
			nothingLeft(t, w)
		})
	}
}

func TestSearchThatFails(t *testing.T) {
	for name, c := range map[string]struct {
		search   func(n int) hresult
		searches int
		want     string
	}{
		"for a while": {search: func(n int) hresult {
			if n < 4 {
				return 0x8024402C
			}
			return 0
		}, searches: 5},
		"always":   {search: func(int) hresult { return 0x8024402C }, searches: 5, want: "5 attempts: the search for updates failed: 0x8024402C WU_E_PT_WINHTTP_NAME_NOT_RESOLVED, "},
		"for good": {search: func(int) hresult { return 0x80240032 }, searches: 1, want: "search_criteria is not valid"},
		"unknown":  {search: func(int) hresult { return 0x80241234 }, searches: 1, want: "0x80241234, Exception from HRESULT"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWindows(t, kb("5000001"))
			w.search = c.search
			_, err := apply(t.Context(), w, nil)
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("got %v", err)
			}
			if w.searches != c.searches {
				t.Errorf("%d searches, want %d", w.searches, c.searches)
			}
			nothingLeft(t, w)
		})
	}
}

// TestMachineThatRestartsByItself: the connection is lost in the middle, and the
// machine is away for a while.
func TestMachineThatRestartsByItself(t *testing.T) {
	for _, event := range []string{"searching", "found", "chosen", "downloading", "downloaded", "installing", "installed", "end"} {
		t.Run(event, func(t *testing.T) {
			w := newWindows(t, kb("5000001"), kb("5000002"))
			done := false
			w.interrupt = func(_ context.Context, e string, _ int) error {
				if e != event || done {
					return nil
				}
				done, w.gone = true, 7
				w.reboot()
				return component.ErrDisconnected
			}
			if _, err := apply(t.Context(), w, nil); err != nil {
				t.Fatal(err)
			}
			if !w.offers[0].done || !w.offers[1].done {
				t.Error("not all is installed")
			}
			nothingLeft(t, w)
		})
	}
}

func TestConnectionThatIsLostAgainAndAgain(t *testing.T) {
	w := newWindows(t, kb("5000001"))
	w.interrupt = func(context.Context, string, int) error { return component.ErrDisconnected }
	_, err := apply(t.Context(), w, nil)
	if !errors.Is(err, component.ErrDisconnected) || !strings.Contains(err.Error(), "lost 6 times in a row") {
		t.Errorf("got %v", err)
	}
}

// TestMachineThatDoesNotComeBack ends with restart_timeout.
func TestMachineThatDoesNotComeBack(t *testing.T) {
	w := newWindows(t, kb("5000001"))
	w.interrupt = func(_ context.Context, event string, _ int) error {
		if event != "installing" {
			return nil
		}
		w.gone = 1e9
		return component.ErrDisconnected
	}
	// Sleeping takes no time here, so that the end is a real one.
	_, err := apply(t.Context(), w, map[string]cty.Value{"restart_timeout": cty.StringVal("100ms")})
	if err == nil || !strings.Contains(err.Error(), "did not come back") {
		t.Errorf("got %v", err)
	}
}

// TestUpdateTimeout: an installation that hangs is ended, and named.
func TestUpdateTimeout(t *testing.T) {
	w := newWindows(t, kb("5000001"))
	w.interrupt = func(ctx context.Context, event string, _ int) error {
		if event != "installed" {
			return nil
		}
		<-ctx.Done()
		return context.Cause(ctx)
	}
	_, err := apply(t.Context(), w, map[string]cty.Value{"update_timeout": cty.StringVal("200ms")})
	if err == nil || !strings.Contains(err.Error(), "the installation of Update for Windows (KB5000001) has not ended within 200ms (update_timeout)") {
		t.Errorf("got %v", err)
	}
	taskEnded(t, w)
	nothingLeft(t, w)
}

func taskEnded(t *testing.T, w *windows) {
	t.Helper()
	for _, c := range w.Calls() {
		if strings.Contains(c.Script, "$folder.DeleteTask($name, 0)") {
			return
		}
	}
	t.Error("the task was not ended")
}

func TestCancel(t *testing.T) {
	stop := errors.New("stop")
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	w := newWindows(t, kb("5000001"))
	w.interrupt = func(ctx context.Context, event string, _ int) error {
		if event != "installing" {
			return nil
		}
		cancel(stop)
		return context.Cause(ctx)
	}
	if _, err := apply(ctx, w, nil); !errors.Is(err, stop) {
		t.Errorf("got %v", err)
	}
	taskEnded(t, w)
	nothingLeft(t, w)
}

// TestScriptThatDoesNotRun: what the machine says is shown, and it is an error.
func TestScriptThatDoesNotRun(t *testing.T) {
	for name, c := range map[string]struct {
		prints, want string
		code         int
	}{
		"nothing":      {want: "did not come to its end"},
		"an error":     {prints: "The term 'ConvertFrom-Json' is not recognized\r\n", code: 1, want: "did not come to its end"},
		"another code": {code: 5, want: "exit status: 5"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWindows(t)
			w.On = func(_ context.Context, call wincomm.Call) (component.Exit, error) {
				if call.Stdin == "" {
					return component.Exit{}, nil
				}
				fmt.Fprint(call.Stdout, c.prints)
				return component.Exit{Code: c.code}, nil
			}
			events, err := apply(t.Context(), w, nil)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v", err)
			}
			if lines := events.Lines(component.Stdout); strings.Join(lines, "\r\n") != strings.TrimSpace(c.prints) {
				t.Errorf("shown is %q", lines)
			}
		})
	}
}

func TestNewsThatMakeNoSense(t *testing.T) {
	for name, line := range map[string]string{
		"no base64": "%%%", "no JSON": "e30", "another index": "eyJldmVudCI6Imluc3RhbGxlZCIsImluZGV4IjoxfQ==",
	} {
		t.Run(name, func(t *testing.T) {
			w := newWindows(t)
			w.interrupt = func(context.Context, string, int) error { return nil }
			w.On = func(_ context.Context, call wincomm.Call) (component.Exit, error) {
				if call.Stdin != "" {
					_, _ = w.task(t.Context(), wincomm.Call{Stdin: call.Stdin, Stdout: &strings.Builder{}})
					fmt.Fprintf(call.Stdout, "%s %s\r\n", w.requests[0].Marker, line)
				}
				return component.Exit{}, nil
			}
			if _, err := apply(t.Context(), w, nil); err == nil || !strings.Contains(err.Error(), "read the news of the machine") {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestReminders(t *testing.T) {
	run, _, _ := componenttest.NewRun(t)
	ctx, w := newWatch(t.Context(), winguest.Machine{Target: component.Target{Run: run}}, time.Hour)
	w.progress("search for updates")
	w.doing("end of another installation")
	if what, _ := w.now(); what != "end of another installation" || ctx.Err() != nil {
		t.Errorf("%s, %v", what, ctx.Err())
	}
	w.stop()
	if ctx.Err() == nil {
		t.Error("the context goes on")
	}
}

func TestExplain(t *testing.T) {
	for _, c := range []struct {
		code       hresult
		text, want string
	}{
		{-2145107924, "Exception from HRESULT: 0x8024402C", "0x8024402C WU_E_PT_WINHTTP_NAME_NOT_RESOLVED, the name of the update server or of the proxy cannot be resolved; check the DNS server"},
		{0x80070005, "", "0x80070005 E_ACCESSDENIED, the user may not install updates; leave username out"},
		{0x80070002, "", `0x80070002; "net helpmsg 2" on the machine says what that is`},
		{0x80131501, "the search ended with\r\n the result code 4.", "0x80131501, the search ended with the result code 4"},
		{0x80001111, "Exception from HRESULT: 0x80001111", "Exception from HRESULT: 0x80001111"},
		{0, "text.", "text"},
		{0, "", "Windows does not say why"},
	} {
		if got := c.code.explain(c.text); !strings.HasPrefix(got, c.want) {
			t.Errorf("%d: got %s", c.code, got)
		}
	}
}

func FuzzNews(f *testing.F) {
	f.Add([]byte("ingot-x e30=\r\nother\nhalf"), 3)
	f.Add([]byte("ingot-x eyJldmVudCI6Imluc3RhbGxlZCIsImluZGV4IjoxfQ==\r\n"), 7)
	f.Fuzz(func(t *testing.T, text []byte, cut int) {
		run, _, events := componenttest.NewRun(t)
		messages := 0
		rest := component.NewLineWriter(run.Events, component.Stdout)
		r := &reader{marker: "ingot-x", rest: rest, handle: func(message, error) { messages++ }}
		cut = min(max(cut, 0), len(text))
		for _, part := range [][]byte{text[:cut], text[cut:]} {
			if n, err := r.Write(part); n != len(part) || err != nil {
				t.Fatal(n, err)
			}
		}
		r.flush()
		rest.Flush()
		if marked := strings.Count(string(text), "ingot-x "); messages > marked || marked == 0 && messages+len(events.All()) == 0 && len(strings.TrimSpace(string(text))) > 0 {
			t.Errorf("%d messages and %d lines of %q", messages, len(events.All()), text)
		}
	})
}
