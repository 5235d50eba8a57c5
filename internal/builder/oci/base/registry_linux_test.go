package base

import (
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"ingot/internal/component"
	"ingot/internal/ratelimit"
	"ingot/internal/retry"
)

// moody is a registry that complains about the first calls of each kind.
type moody struct {
	next http.Handler

	mu   sync.Mutex
	mood []int // statuses of the next calls; guarded by mu
	on   string
}

func (m *moody) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	m.mu.Lock()
	status := 0
	if len(m.mood) > 0 && strings.Contains(r.URL.Path, m.on) {
		status, m.mood = m.mood[0], m.mood[1:]
	}
	m.mu.Unlock()
	if status == 0 {
		m.next.ServeHTTP(w, r)
		return
	}
	if status == http.StatusTooManyRequests {
		w.Header().Set("Retry-After", "1")
	}
	w.WriteHeader(status)
}

// TestRegistryIsAskedAgain: what passes is waited out and told, what does not is not
// tried again.
func TestRegistryIsAskedAgain(t *testing.T) {
	m := &moody{next: registry.New(registry.Logger(log.New(io.Discard, "", 0)))}
	server := httptest.NewServer(m)
	t.Cleanup(server.Close)
	ref, err := name.ParseReference(strings.TrimPrefix(server.URL, "http://") + "/base:1")
	if err != nil {
		t.Fatal(err)
	}
	img, err := random.Image(1024, 2)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(ref, img); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		on   string
		mood []int
		told []string
		fail retry.Class
	}{
		{"nothing happens", "", nil, nil, 0},
		{"throttled", "/manifests/", []int{429}, []string{"throttled"}, 0},
		{"not available", "/manifests/", []int{503, 500}, []string{"transient", "transient"}, 0},
		{"a layer breaks", "/blobs/", []int{502}, []string{"transient"}, 0},
		{"it does not pass", "/manifests/", []int{503, 503, 503, 503}, []string{"transient", "transient", "transient"}, retry.Transient},
		{"it will not pass", "/manifests/", []int{403}, nil, retry.Permission},
	} {
		t.Run(c.name, func(t *testing.T) {
			m.mu.Lock()
			m.on, m.mood = c.on, slices.Clone(c.mood)
			m.mu.Unlock()
			var mu sync.Mutex
			var told []string
			q := Request{
				Kind: "docker", Ref: ref.Name(), Platform: v1.Platform{OS: "linux", Architecture: "amd64"}, Auth: authn.DefaultKeychain,
				Progress: func(string, string, int64, int64, bool) {}, Limits: ratelimit.New(component.SystemClock{}),
				Retries: func(what string) func(error, int, time.Duration) {
					return func(err error, _ int, _ time.Duration) {
						mu.Lock()
						defer mu.Unlock()
						if told = append(told, retry.ClassOf(err).String()); what == "" || err == nil {
							t.Error("nobody knows what is tried again, or why")
						}
					}
				},
			}
			_, err := newStore(t).Load(t.Context(), q)
			if (err != nil) != (c.fail != 0) || err != nil && retry.ClassOf(err) != c.fail {
				t.Errorf("got %v (%s)", err, retry.ClassOf(err))
			}
			if !slices.Equal(told, c.told) {
				t.Errorf("told of %v, want %v", told, c.told)
			}
		})
	}
}
