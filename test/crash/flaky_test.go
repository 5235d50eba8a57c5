package crash

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"ingot/internal/comm/none"
	"ingot/internal/component"
	"ingot/internal/engine"
	"ingot/internal/journal"
	"ingot/internal/plan"
	"ingot/internal/ratelimit"
	"ingot/internal/readiness"
	"ingot/internal/reap"
	"ingot/internal/retry"
	"ingot/internal/template"
	"ingot/internal/testkit/fakecloud"
	"ingot/internal/ui"
)

const flakyTemplate = `
source "fakecloud" "a" {
  endpoint = "http://cloud.test"
}
source "fakecloud" "b" {
  endpoint = "http://cloud.test"
}
source "fakecloud" "c" {
  endpoint = "http://cloud.test"
}
source "fakecloud" "d" {
  endpoint = "http://cloud.test"
}
build {
  sources = ["fakecloud.a", "fakecloud.b", "fakecloud.c", "fakecloud.d"]
  retry {
    max_retries = 3
    delay       = "30s"
  }
  provisioner "sleep" {
    duration = "20m"
  }
}
`

// weather is a network between the builds and the cloud, and the cloud's patience.
// Every hour or so the network is down for some minutes; of the calls at other times a
// few get lost on their way, and a few answers. More than ten calls in a second are too
// many.
type weather struct {
	mu       sync.Mutex
	random   *rand.Rand // guarded by mu
	down, up time.Time  // of the next time that it is down
	second   time.Time
	inSecond int
	// calls counts what was sent; busiest is the most in one second, and lost what
	// did not come back.
	calls, busiest, lost, complaints int
	// fair: nothing happens any more.
	fair bool
}

var errWeather = errors.New("no route to host")

// look decides what happens to one call.
func (w *weather) look() (lostBefore, lostAfter, tooMany bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	w.calls++
	if now.Sub(w.second) >= time.Second {
		w.second, w.inSecond = now, 0
	}
	w.inSecond++
	w.busiest = max(w.busiest, w.inSecond)
	if w.fair {
		return false, false, false
	}
	for !now.Before(w.up) {
		w.down = w.up.Add(time.Duration(20+w.random.IntN(60)) * time.Minute)
		w.up = w.down.Add(time.Duration(30+w.random.IntN(600)) * time.Second)
	}
	dice := w.random.IntN(100)
	lostBefore = !now.Before(w.down) || dice < 3
	lostAfter = dice >= 97
	if tooMany = w.inSecond > 10; tooMany {
		w.complaints++
	} else if lostBefore || lostAfter {
		w.lost++
	}
	return lostBefore, lostAfter, tooMany
}

type weatherWire struct {
	*weather
	next http.RoundTripper
}

func (w weatherWire) RoundTrip(req *http.Request) (*http.Response, error) {
	before, after, tooMany := w.look()
	switch {
	case tooMany:
		return &http.Response{
			Status: "429 Too Many Requests", StatusCode: http.StatusTooManyRequests, Header: http.Header{"Retry-After": {"2"}},
			Body: http.NoBody, Request: req,
		}, nil
	case before:
		return nil, retry.As(retry.Transient, errWeather)
	}
	res, err := w.next.RoundTrip(req)
	if after && err == nil {
		res.Body.Close()
		return nil, retry.As(retry.Transient, errWeather)
	}
	return res, err
}

// dialer waits for a machine as the communicators do, through the same weather.
type flakyDialer struct{ *weather }

func (d flakyDialer) Dial(ctx context.Context, r component.Run, endpoint func(context.Context) (component.Endpoint, error)) (component.Communicator, error) {
	watch := readiness.New(r, readiness.Plan{Transport: "test", Label: "test", Setting: "timeout", Stages: []readiness.Stage{
		{Name: "network", What: "network", Hint: "wait"}, {Name: "login", What: "login", Hint: "log in"},
	}})
	err := retry.Do(ctx, r.Clock, retry.Policy{Attempts: 40, First: time.Second, Max: 10 * time.Second}, func(ctx context.Context) error {
		watch.Attempt()
		if _, err := endpoint(ctx); err != nil {
			return err
		}
		for stage := range 2 {
			watch.Enter(stage)
			if before, after, _ := d.look(); before || after {
				err := retry.As(retry.Transient, errWeather)
				watch.Failed(err)
				return err
			}
		}
		return nil
	})
	watch.Ended(err)
	if err != nil {
		return nil, err
	}
	return none.New(), nil
}

// TestFlakyNetworkFor72Hours builds for three days through bad weather: four builds at
// a time, with the real engine, retries, rate limiter and waiting. Nothing is left and no
// image that the user was told of is lost; calls and attempts stay within bounds, and
// each retry says why. That no goroutine is left is what the bubble itself sees to.
func TestFlakyNetworkFor72Hours(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &weather{random: rand.New(rand.NewPCG(72, 1)), up: time.Now()}
		cloud := fakecloud.NewPrivateServer()
		defer cloud.Close()
		deps := fakecloud.Deps{Clock: component.SystemClock{}, Dial: cloud.Dial, Around: func(next http.RoundTripper) http.RoundTripper { return weatherWire{w, next} }}
		reapers := journal.NewReapers(reap.Files{}, fakecloud.NewReaper(deps))
		store := &journal.MemStore{}
		tmpl, diags := template.Load("-", template.Options{ConfigType: "hcl2", Stdin: strings.NewReader(flakyTemplate), CoreVersion: "1.16.0"})
		p, more := plan.Make(t.Context(), tmpl, plan.Inputs{Provider: parts{deps}, CoreVersion: "1.16.0", WorkDir: t.TempDir()})
		if err := append(diags, more...).Err(); err != nil {
			t.Fatal(err)
		}
		limits := ratelimit.New(component.SystemClock{})
		told := &retriesTold{classes: map[string]int{}}
		dir := t.TempDir()
		var images []string
		builds, failed := 0, 0
		begin := time.Now()
		for n := 0; time.Since(begin) < 72*time.Hour; n++ {
			log, err := store.Create(t.Context(), journal.RunInfo{ID: fmt.Sprint("run-", n), Started: time.Now()})
			if err != nil {
				t.Fatal(err)
			}
			res, err := engine.Run(t.Context(), p, engine.Options{
				RunID: fmt.Sprint("run-", n), Handle: told.handle, Ledger: journal.NewLedger(log, reapers, component.SystemClock{}),
				Dialers: map[string]component.Dialer{"none": flakyDialer{w}}, Prompt: ui.NoPrompter{},
				Clock: component.SystemClock{}, Limits: limits, OnError: engine.Cleanup,
				TempDir: dir, CacheDir: dir, Sensitive: func(string) {}, Release: t.Context(),
			})
			if err != nil {
				t.Fatal(err)
			}
			for _, b := range res.Builds {
				if builds++; b.Err != nil {
					failed++
				}
				for _, a := range b.Artifacts {
					images = append(images, a.ID)
				}
			}
			if err := log.Close(); err != nil {
				t.Fatal(err)
			}
		}
		hours := time.Since(begin).Hours()
		t.Logf("%.0f hours, %d builds, %d failed, %d calls, %d lost, %d complaints, at most %d in a second; retries %v",
			hours, builds, failed, w.calls, w.lost, w.complaints, w.busiest, told.classes)
		if w.busiest > 60 {
			t.Errorf("%d calls in one second", w.busiest)
		}
		w.mu.Lock()
		w.fair = true
		w.mu.Unlock()
		if _, err := journal.Recover(t.Context(), store, reapers, journal.RecoverOptions{Now: time.Now()}); err != nil {
			t.Errorf("reap: %v", err)
		}
		for _, thing := range cloud.Things() {
			if !slices.Contains(images, thing.ID) {
				t.Errorf("left: %s", thing.ID)
			}
		}
		if n := len(cloud.Things()); n != len(images) || n < builds*9/10 {
			t.Errorf("%d things are there, %d images were given to the user, of %d builds", n, len(images), builds)
		}
		if w.lost < 100 || told.classes["transient"] < 100 {
			t.Errorf("the weather was fair: %d calls lost, retries %v", w.lost, told.classes)
		}
		// A build makes about thirteen calls when all goes well; what is lost costs a
		// few more.
		if w.calls > 40*builds {
			t.Errorf("%d calls for %d builds", w.calls, builds)
		}
		for _, what := range told.wrong {
			t.Error(what)
		}
	})
}

// retriesTold counts the retries by class, and looks for what is wrong with them.
type retriesTold struct {
	mu      sync.Mutex
	classes map[string]int
	wrong   []string
}

func (r *retriesTold) handle(e component.Stamped) {
	again, ok := e.Event.(component.Retrying)
	if !ok {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.classes[again.Class]++
	if again.What == "" || again.Err == nil || again.Delay <= 0 || again.Attempt > 5 {
		r.wrong = append(r.wrong, fmt.Sprintf("a retry that does not say what, why and when, or one too many: %+v", again))
	}
}
