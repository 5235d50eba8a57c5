package dockerengine

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/moby/moby/client"

	"ingot/internal/component"
	"ingot/internal/ratelimit"
	"ingot/internal/retry"
)

// TestCallsArePaced: what one connection to an engine is told counts for the others.
func TestCallsArePaced(t *testing.T) {
	var mu sync.Mutex
	var at []time.Time
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/_ping") {
			w.Header().Set("Api-Version", "1.41")
			return
		}
		mu.Lock()
		defer mu.Unlock()
		if at = append(at, time.Now()); len(at) == 1 {
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(http.StatusTooManyRequests)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte("[]")) // whoever has asked may be gone
	}))
	t.Cleanup(server.Close)
	limits := ratelimit.New(component.SystemClock{})
	open := func() *Engine {
		t.Helper()
		e, err := Open(env(map[string]string{"DOCKER_HOST": "tcp://" + server.Listener.Addr().String()}), limits)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { e.Close() })
		return e
	}
	one, other := open(), open()
	if _, err := one.ContainerList(t.Context(), client.ContainerListOptions{}); err == nil {
		t.Fatal("the complaint was not heard")
	} else if class := retry.ClassOf(one.Explain(t.Context(), "list", err)); class != retry.Throttled {
		t.Errorf("a complaint is %s: %v", class, err)
	}
	if _, err := other.ContainerList(t.Context(), client.ContainerListOptions{}); err != nil {
		t.Fatal(err)
	}
	if wait := at[1].Sub(at[0]); wait < 900*time.Millisecond {
		t.Errorf("the engine wanted to be left alone for a second, and was for %s", wait)
	}
}
