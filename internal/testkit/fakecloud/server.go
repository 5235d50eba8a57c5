package fakecloud

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"time"
)

// Server is the service.
type Server struct {
	// URL is where it is.
	URL string

	// Dial connects to it where it is not on the network.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)

	close func()

	mu       sync.Mutex // guards what follows
	ledger   *ledger
	faults   []Fault
	turns    []int
	happened int
	calls    []string
	onCall   func(n int, call string)
	late     sync.WaitGroup
}

// NewServer starts a cloud on this machine. Close ends it.
func NewServer(faults ...Fault) *Server {
	s := newServer(faults)
	server := httptest.NewServer(s)
	s.URL = server.URL
	s.close = func() {
		server.CloseClientConnections()
		server.Close()
	}
	return s
}

// NewPrivateServer starts a cloud inside of this process, which only Dial reaches. It
// works in a bubble of testing/synctest.
func NewPrivateServer(faults ...Fault) *Server {
	s := newServer(faults)
	s.URL = "http://cloud.test"
	pipes := &pipes{made: make(chan net.Conn), closed: make(chan struct{})}
	s.Dial = pipes.dial
	server := &http.Server{Handler: s, ErrorLog: log.New(io.Discard, "", 0)}
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(pipes) }) // ends by being closed
	s.close = func() {
		server.Close()
		serving.Wait()
	}
	return s
}

func newServer(faults []Fault) *Server {
	return &Server{ledger: newLedger(), faults: faults, turns: make([]int, len(faults))}
}

// Close ends the service when it has done what it was asked for.
func (s *Server) Close() {
	s.close()
	s.late.Wait()
}

// OnCall sets what is told of each call, counting from 1, before it is served.
func (s *Server) OnCall(fn func(n int, call string)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.onCall = fn
}

// Add puts something of somebody else's into the cloud, and returns its id.
func (s *Server) Add(collection string, t Thing) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ledger.create(collection, t, time.Time{}).ID
}

// Things returns what exists, whether it can be found or not, once everything is done
// that the service was asked for.
func (s *Server) Things() []Thing {
	s.late.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []Thing
	for _, t := range s.ledger.sorted() {
		out = append(out, *t)
	}
	return out
}

// Collection says which of the collections a thing belongs to.
func (t Thing) Collection() string { return t.collection }

// Made counts what was ever made in a collection.
func (s *Server) Made(collection string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ledger.made[collection]
}

// Calls lists the calls so far, as "POST instances".
func (s *Server) Calls() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.calls...)
}

// Happened counts the mishaps so far.
func (s *Server) Happened() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.happened
}

// failure is an answer that is not what was asked for.
type failure struct {
	status int
	code   string
	text   string
	after  string
}

func (f failure) Error() string { return f.code + ": " + f.text }

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	call := r.Method + " " + parts[0]
	if len(parts) > 2 {
		call += " " + parts[2]
	}
	var want Thing
	if r.Method == http.MethodPost && len(parts) == 1 {
		if err := json.NewDecoder(r.Body).Decode(&want); err != nil {
			refuse(w, failure{status: 400, code: "InvalidParameter", text: err.Error()})
			return
		}
	}
	s.mu.Lock()
	s.calls = append(s.calls, call)
	n, tell := len(s.calls), s.onCall
	faults := s.judge(call)
	s.mu.Unlock()
	if tell != nil {
		tell(n, call)
	}
	switch {
	case has(faults, RequestLost):
		hangUp(w)
		return
	case has(faults, Throttle):
		refuse(w, failure{429, "RequestLimitExceeded", "too many requests", "1"})
		return
	case has(faults, Unavailable):
		refuse(w, failure{status: 503, code: "Unavailable", text: "try again"})
		return
	case has(faults, NoCapacity):
		refuse(w, failure{status: 503, code: "InsufficientCapacity", text: "there is no room in this zone"})
		return
	}
	answer, err := s.serve(r, parts, want, faults)
	var no failure
	switch {
	case has(faults, ReplyLost):
		hangUp(w)
	case has(faults, ErrorAfter):
		refuse(w, failure{status: 500, code: "Internal", text: "something went wrong"})
	case errors.As(err, &no):
		refuse(w, no)
	default:
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(answer) // whoever has asked may be gone
	}
}

func has(faults map[Mishap]Fault, m Mishap) bool {
	_, ok := faults[m]
	return ok
}

func refuse(w http.ResponseWriter, f failure) {
	if f.after != "" {
		w.Header().Set("Retry-After", f.after)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(f.status)
	_ = json.NewEncoder(w).Encode(map[string]string{"code": f.code, "message": f.text}) // see above
}

func hangUp(w http.ResponseWriter) {
	if h, ok := w.(http.Hijacker); ok {
		if conn, _, err := h.Hijack(); err == nil {
			conn.Close()
		}
	}
}

// serve does what was asked for. What is done late is done although nobody waits.
func (s *Server) serve(r *http.Request, parts []string, want Thing, faults map[Mishap]Fault) (any, error) {
	type result struct {
		answer any
		err    error
	}
	done := make(chan result, 1)
	work := func() {
		if f, ok := faults[Late]; ok {
			time.Sleep(f.For)
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		answer, err := s.do(r.Method, parts, r.URL.Query().Get("label"), want, faults[NotFoundAfter].For)
		done <- result{answer, err}
	}
	s.late.Go(work)
	select {
	case d := <-done:
		return d.answer, d.err
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
}

func (s *Server) do(method string, parts []string, label string, want Thing, hidden time.Duration) (any, error) {
	now := time.Now()
	if len(parts) == 1 {
		switch method {
		case http.MethodPost:
			return s.ledger.create(parts[0], want, now.Add(hidden)).look(), nil
		case http.MethodGet:
			return s.list(parts[0], label, now), nil
		}
	}
	if len(parts) < 2 {
		return nil, failure{status: 405, code: "InvalidMethod", text: method}
	}
	t := s.ledger.things[parts[1]]
	if t == nil || t.collection != parts[0] || now.Before(t.visible) {
		return nil, failure{status: 404, code: "NotFound", text: "there is no " + parts[1]}
	}
	switch {
	case method == http.MethodDelete:
		if user := s.ledger.user(t.ID); user != "" {
			return nil, failure{status: 409, code: "InUse", text: t.ID + " is used by " + user}
		}
		delete(s.ledger.things, t.ID)
		return map[string]string{}, nil
	case method == http.MethodPost && len(parts) == 3 && parts[2] == "stop":
		t.State = Stopped
		return *t, nil
	case method == http.MethodGet:
		return t.look(), nil
	}
	return nil, failure{status: 405, code: "InvalidMethod", text: method}
}

// list returns what has a label "KEY=VALUE", or with "KEY" any of its values.
func (s *Server) list(collection, label string, now time.Time) []Thing {
	out := []Thing{}
	key, value, exact := strings.Cut(label, "=")
	for _, t := range s.ledger.sorted() {
		v, ok := t.Labels[key]
		if t.collection == collection && ok && (!exact || v == value) && !now.Before(t.visible) {
			out = append(out, t.look())
		}
	}
	return out
}
