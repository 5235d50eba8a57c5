package windowsupdate

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/zclconf/go-cty/cty"

	"ingot/internal/component"
	"ingot/internal/component/componenttest"
	"ingot/internal/testkit/wincomm"
	"ingot/internal/winguest"
)

// windows is a machine with a Windows Update of its own: it does what
// update.ps1 asks of the real one.
type windows struct {
	wincomm.Machine
	t       *testing.T
	now     time.Time
	started time.Time

	offers  []*offer
	pending bool // a restart is due
	// stubborn: it is due again after every restart.
	stubborn bool
	searches int
	restarts int
	as       []string // who ran the script
	requests []request
	// search, when set, is asked for an error before the n-th search.
	search func(n int) hresult
	// interrupt, when set, is asked before each event of the script; what it
	// returns ends the script.
	interrupt func(ctx context.Context, event string, n int) error
	events    int
	// gone is how many commands still find the machine away.
	gone int
	// prints is what the script prints besides.
	prints string
}

// offer is an update that the machine may need.
type offer struct {
	update
	// needs is an offer that has to be installed and restarted for first.
	needs  *offer
	reboot bool
	// fails is how often the installation fails, with code.
	fails        int
	downloadCode hresult
	code         hresult
	// rolledBack: it is gone again after the restart.
	rolledBack bool
	asks       bool

	installed, done bool
	tries           int
}

func newWindows(t *testing.T, offers ...*offer) *windows {
	w := &windows{t: t, now: time.Unix(1_700_000_000, 0), offers: offers}
	w.started = w.now.Add(-time.Hour)
	w.On = w.on
	return w
}

// kb is an offer as most are: it needs a restart.
func kb(number string) *offer {
	return &offer{update: update{ID: "id-" + number, Title: "Update for Windows (KB" + number + ")", KB: []string{number}, Size: 300 << 20}, reboot: true}
}

// Now and Sleep are the clock of the test.
func (w *windows) Now() time.Time { return w.now }

func (w *windows) Sleep(ctx context.Context, d time.Duration) error {
	w.now = w.now.Add(d)
	return context.Cause(ctx)
}

func (w *windows) reboot() {
	w.restarts++
	w.pending = w.stubborn
	w.started = w.now.Add(20 * time.Second)
	w.now = w.now.Add(40 * time.Second)
	for _, o := range w.offers {
		o.done = o.done || o.installed && !o.rolledBack
		o.installed = o.installed && !o.rolledBack
	}
}

func (w *windows) on(ctx context.Context, c wincomm.Call) (component.Exit, error) {
	switch {
	case w.gone > 0:
		w.gone--
		return component.Exit{}, component.ErrDisconnected
	case c.Line == winguest.RestartCommand:
		w.reboot()
	case strings.Contains(c.Script, "ingot-boot"):
		fmt.Fprintf(c.Stdout, "ingot-boot %d %d\r\n", w.started.UnixNano()/100+621355968000000000, w.now.Sub(w.started).Milliseconds())
	case c.Stdin != "":
		return w.task(ctx, c)
	}
	return component.Exit{}, nil
}

// task is what runs as another user.
func (w *windows) task(ctx context.Context, c wincomm.Call) (component.Exit, error) {
	texts, err := wincomm.Unpack(c.Stdin)
	if err != nil || len(texts) != 7 {
		w.t.Errorf("the elevated script got %q, %v", texts, err)
		return component.Exit{Code: 1}, nil
	}
	_, file, _ := strings.Cut(texts[3], `-File "`)
	script := w.Files()[strings.TrimSuffix(file, `"`)]
	_, encoded, _ := strings.Cut(script, "$encoded = '")
	encoded, rest, _ := strings.Cut(encoded, "'\n")
	if rest != updateScript {
		w.t.Errorf("the line %s does not run update.ps1", texts[3])
		return component.Exit{Code: 1}, nil
	}
	raw, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		w.t.Error(err)
	}
	var r request
	if err := json.Unmarshal(raw, &r); err != nil {
		w.t.Error(err)
	}
	w.as, w.requests = append(w.as, texts[4]+":"+texts[5]), append(w.requests, r)
	if w.prints != "" {
		fmt.Fprint(c.Stdout, w.prints)
	}
	code, err := w.script(ctx, c, r)
	return component.Exit{Code: code}, err
}

// script is update.ps1.
func (w *windows) script(ctx context.Context, c wincomm.Call, r request) (int, error) {
	var stop error
	tell := func(fields map[string]any) bool {
		w.events++
		if stop == nil {
			stop = context.Cause(ctx)
		}
		if stop == nil && w.interrupt != nil {
			stop = w.interrupt(ctx, fields["event"].(string), w.events)
		}
		if stop != nil {
			return false
		}
		text, err := json.Marshal(fields)
		if err != nil {
			w.t.Error(err)
		}
		line := r.Marker + " " + base64.StdEncoding.EncodeToString(text) + "\r\n"
		_, _ = c.Stdout.Write([]byte(line[:9])) // lines may come in pieces
		_, _ = c.Stdout.Write([]byte(line[9:]))
		w.now = w.now.Add(time.Minute)
		return true
	}
	if w.pending {
		tell(map[string]any{"event": "end", "reboot": true})
		return 0, stop
	}
	w.searches++
	if !tell(map[string]any{"event": "searching"}) {
		return 0, stop
	}
	if w.search != nil {
		if code := w.search(w.searches); code != 0 {
			tell(map[string]any{"event": "failed", "during": "search", "hresult": int32(uint32(code)), "message": "Exception from HRESULT"})
			return 1, stop
		}
	}
	chosen := w.choose(r, tell)
	if chosen == nil || !tell(map[string]any{"event": "chosen"}) {
		return 0, stop
	}
	for i, o := range chosen {
		if !tell(map[string]any{"event": "downloading", "index": i}) {
			return 0, stop
		}
		news := map[string]any{"event": "downloaded", "index": i, "code": 2, "hresult": 0, "message": ""}
		if o.downloadCode != 0 {
			news["code"], news["hresult"] = 4, int32(uint32(o.downloadCode))
		}
		if !tell(news) {
			return 0, stop
		}
	}
	reboot := false
	for i, o := range chosen {
		if o.downloadCode != 0 {
			continue
		}
		if !tell(map[string]any{"event": "installing", "index": i}) {
			return 0, stop
		}
		news := map[string]any{"event": "installed", "index": i, "code": 2, "hresult": 0, "message": "", "reboot": o.reboot}
		if o.tries++; o.tries <= o.fails {
			news["code"], news["hresult"] = 4, int32(uint32(o.code))
		} else {
			o.installed = true
			o.done = !o.reboot
			reboot = reboot || o.reboot
		}
		if !tell(news) {
			return 0, stop
		}
	}
	w.pending = reboot
	tell(map[string]any{"event": "end", "reboot": reboot})
	return 0, stop
}

func (w *windows) choose(r request, tell func(map[string]any) bool) []*offer {
	chosen := []*offer{}
	for _, o := range w.offers {
		if o.done || o.installed || o.needs != nil && !o.needs.done {
			continue
		}
		left := ""
		switch {
		case !w.wanted(r.Filters, o):
			left = "filters"
		case o.asks:
			left = "input"
		case len(chosen) >= r.Limit:
			left = "limit"
		default:
			chosen = append(chosen, o)
		}
		if !tell(map[string]any{"event": "found", "id": o.ID, "title": o.Title, "kb": o.KB, "size": o.Size, "left": left}) {
			return nil
		}
	}
	return chosen
}

// wanted knows two forms of expressions.
func (w *windows) wanted(filters []filter, o *offer) bool {
	for _, f := range filters {
		pattern, like := strings.CutPrefix(f.Expression, "$_.Title -like ")
		if !like && f.Expression != "$true" {
			w.t.Errorf("the filter is %+v", f)
		}
		if !like || strings.Contains(o.Title, strings.Trim(pattern, "'*")) {
			return f.Include
		}
	}
	return false
}

// apply runs the provisioner on a machine.
func apply(ctx context.Context, w *windows, values map[string]cty.Value) (*componenttest.Events, error) {
	w.t.Helper()
	step, diags := New().Plan(ctx, New().Schema().Object(values))
	if diags.HasErrors() {
		w.t.Fatal(diags.Err())
	}
	run, _, events := componenttest.NewRun(w.t)
	run.Clock = w
	return events, step.Apply(ctx, component.Target{Run: run, Comm: w})
}
