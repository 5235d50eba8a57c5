//go:build unix

package winrm_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ingot/internal/comm/winrm"
	"ingot/internal/component"
	"ingot/internal/readiness"
	"ingot/internal/testkit/winrmd"
)

// tryDial connects and returns the error that it must end with.
func tryDial(t testing.TB, d winrm.Deps, r component.Run, e func(context.Context) (component.Endpoint, error)) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	c, err := winrm.NewDialer(d).Dial(ctx, r, e)
	if err == nil {
		_ = c.Close()
		t.Fatal("the machine was reached")
	}
	if ctx.Err() != nil {
		t.Fatal("Dial did not end by itself")
	}
	return err
}

// jumpyClock has no patience: it jumps over every rest.
type jumpyClock struct {
	mu  sync.Mutex // guards now
	now time.Time
}

func (c *jumpyClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *jumpyClock) Sleep(ctx context.Context, d time.Duration) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
	return context.Cause(ctx)
}

// patientRun is a run whose time passes only while it rests.
func patientRun(events *[]component.Event) component.Run {
	var mu sync.Mutex
	return component.Run{Clock: &jumpyClock{now: time.Unix(1e9, 0)}, Events: component.SinkFunc(func(e component.Event) {
		mu.Lock()
		defer mu.Unlock()
		if events != nil {
			*events = append(*events, e)
		}
	})}
}

func TestW38WrongCredentialsEndTheWait(t *testing.T) {
	s := start(t, winrmd.Config{})
	c := connection()
	c.WinRMPassword = "wrong"
	r := patientRun(nil)
	begin := r.Clock.Now()
	err := tryDial(t, winrm.Deps{}, r, at(s, c))
	var refused *winrm.AuthError
	if !errors.As(err, &refused) || refused.Attempts != 3 || !strings.Contains(err.Error(), "winrm_password") {
		t.Errorf("got %v", err)
	}
	if d := r.Clock.Now().Sub(begin); d > 3*time.Second {
		t.Errorf("it took %s", d)
	}
	if n := s.Refused(); n != 3 {
		t.Errorf("%d logins, want 3: more lock the account", n)
	}
}

// A machine that is being set up has no Basic authentication for a while: that
// is no refusal of the credentials.
func TestSchemeThatIsNotThereYetIsWaitedFor(t *testing.T) {
	s := start(t, winrmd.Config{Offers: []string{"Kerberos"}})
	var events []component.Event
	c := connection()
	c.WinRMTimeout = 30 * time.Second
	err := tryDial(t, winrm.Deps{}, patientRun(&events), at(s, c))
	var waited *readiness.TimeoutError
	if !errors.As(err, &waited) || !strings.Contains(waited.Stage, "authentication") || !strings.Contains(err.Error(), "Kerberos") {
		t.Errorf("got %v", err)
	}
	if n := s.Refused(); n < 5 {
		t.Errorf("only %d attempts in 30 seconds", n)
	}
	if w, ok := events[len(events)-2].(component.Waiting); !ok || !strings.Contains(w.Detail, "Kerberos") {
		t.Errorf("the last but one event is %+v", events[len(events)-2])
	}
	ended, ok := events[len(events)-1].(component.WaitEnded)
	if !ok || !errors.Is(ended.Err, err) || len(ended.Stages) != 6 || ended.Stages[3] != (component.WaitStage{Name: "authentication", Took: ended.Elapsed, State: component.StageFailed}) {
		t.Errorf("the last event is %+v", events[len(events)-1])
	}
}

func TestStages(t *testing.T) {
	busy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "other", http.StatusTeapot) }))
	t.Cleanup(busy.Close)
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = closed.Close()
	tcp := func(a net.Addr) func(context.Context) (component.Endpoint, error) {
		c := connection()
		c.WinRMTimeout = 5 * time.Second
		return func(context.Context) (component.Endpoint, error) {
			return component.Endpoint{Transport: "winrm", Host: "127.0.0.1", Port: a.(*net.TCPAddr).Port, Connection: &c}, nil
		}
	}
	served := func(cfg winrmd.Config, ssl bool) func(context.Context) (component.Endpoint, error) {
		c := connection()
		c.WinRMTimeout, c.WinRMUseSSL = 5*time.Second, ssl
		return at(start(t, cfg), c)
	}
	for name, x := range map[string]struct {
		where       func(context.Context) (component.Endpoint, error)
		stage, says string
	}{
		"nobody listens":   {tcp(closed.Addr()), "tcp 127.0.0.1", "refused"},
		"no WinRM":         {tcp(busy.Listener.Addr()), "http answer", "418"},
		"no TLS":           {served(winrmd.Config{}, true), "http answer", "TLS handshake"},
		"unknown TLS":      {served(winrmd.Config{TLS: true}, true), "http answer", "certificate"},
		"unwell":           {served(winrmd.Config{Fault: func(winrmd.Request) winrmd.Fault { return winrmd.Fault{Status: 500} }}, false), "http answer", "500"},
		"no shells left":   {served(winrmd.Config{MaxShells: -1}, false), "winrm shell", "maximum number of concurrent shells"},
		"no PowerShell":    {served(winrmd.Config{NoPowerShell: true}, false), "powershell", "not recognized"},
		"connection drops": {served(winrmd.Config{Fault: func(winrmd.Request) winrmd.Fault { return winrmd.Fault{Drop: true} }}, false), "http answer", "EOF"},
	} {
		t.Run(name, func(t *testing.T) {
			err := tryDial(t, winrm.Deps{}, patientRun(nil), x.where)
			var w *readiness.TimeoutError
			if !errors.As(err, &w) || !strings.HasPrefix(w.Stage, x.stage) || !strings.Contains(err.Error(), x.says) || !strings.Contains(err.Error(), "winrm_timeout") {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestWaitsForAMachineThatIsNotReady(t *testing.T) {
	s := start(t, winrmd.Config{Skew: 20 * time.Hour, Fault: func(r winrmd.Request) winrmd.Fault {
		switch {
		case r.Action == "Create" && r.N < 4:
			return winrmd.Fault{Status: 500}
		case r.Action == "Create" && r.N < 7:
			return winrmd.Fault{Drop: true}
		case r.Action == "Create" && r.N < 10:
			return winrmd.Fault{Status: 503}
		case r.Action == "Receive" && r.N == 1:
			return winrmd.Fault{Delay: 100 * time.Millisecond}
		}
		return winrmd.Fault{}
	}})
	asked := 0
	c, err := winrm.NewDialer(winrm.Deps{}).Dial(t.Context(), patientRun(nil), func(ctx context.Context) (component.Endpoint, error) {
		if asked++; asked < 3 {
			return component.Endpoint{}, io.ErrUnexpectedEOF
		}
		return at(s, connection())(ctx)
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}

func TestEndpointThatFailsForGood(t *testing.T) {
	broken := errors.New("no such machine")
	err := tryDial(t, winrm.Deps{}, patientRun(nil), func(context.Context) (component.Endpoint, error) { return component.Endpoint{}, broken })
	if !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
}

func TestTLS(t *testing.T) {
	s := start(t, winrmd.Config{TLS: true})
	c := connection()
	c.WinRMUseSSL, c.WinRMInsecure = true, true
	var out bytes.Buffer
	exit, err := dial(t, s, c).Run(t.Context(), component.Command{Line: "echo over TLS; exit 3", Stdout: &out})
	if err != nil || exit.Code != 3 || out.String() != "over TLS\n" {
		t.Errorf("got %v, %v, %q", exit, err, out.String())
	}
}

func TestW46NoProxyIsForOneConnection(t *testing.T) {
	s := start(t, winrmd.Config{})
	var through atomic.Int32
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		through.Add(1)
		http.Error(w, "the proxy does not know this machine", http.StatusBadGateway)
	}))
	t.Cleanup(proxy.Close)
	target, err := url.Parse(proxy.URL)
	if err != nil {
		t.Fatal(err)
	}
	deps := winrm.Deps{Proxy: func(*http.Request) (*url.URL, error) { return target, nil }}
	before := os.Environ()

	c := connection()
	c.WinRMNoProxy = true
	direct, err := winrm.NewDialer(deps).Dial(t.Context(), run(), at(s, c))
	if err != nil {
		t.Fatalf("without the proxy: %v", err)
	}
	t.Cleanup(func() { _ = direct.Close() })
	if n := through.Load(); n != 0 {
		t.Errorf("%d requests went through the proxy", n)
	}
	c = connection()
	c.WinRMTimeout = time.Second
	if err := tryDial(t, deps, patientRun(nil), at(s, c)); !strings.Contains(err.Error(), "502") || through.Load() == 0 {
		t.Errorf("another connection does not use the proxy: %v", err)
	}
	if after := os.Environ(); strings.Join(before, "\n") != strings.Join(after, "\n") {
		t.Error("the environment has changed")
	}
}

func TestW32MissingAndDamagedDownloads(t *testing.T) {
	s := start(t, winrmd.Config{})
	c := dial(t, s, connection())
	var out bytes.Buffer
	if err := c.Get(t.Context(), `C:\missing.txt`, &out); !errors.Is(err, fs.ErrNotExist) || out.Len() != 0 {
		t.Errorf("got %v, %q", err, out.String())
	}
	// Sizes around the boundaries of base64 and of the script's buffer.
	if err := os.MkdirAll(s.Path(`C:\`), 0o777); err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{0, 1, 2, 3, 4, 49151, 49152, 49153, 200_000} {
		want := bytes.Repeat([]byte{0xfb, 0xff, byte(n)}, n)[:n]
		if err := os.WriteFile(s.Path(`C:\file`), want, 0o600); err != nil {
			t.Fatal(err)
		}
		var got bytes.Buffer
		if err := c.Get(t.Context(), `C:\file`, &got); err != nil || !bytes.Equal(got.Bytes(), want) {
			t.Errorf("%d bytes: got %d, %v", n, got.Len(), err)
		}
	}
}

func TestWindowsPaths(t *testing.T) {
	s := start(t, winrmd.Config{})
	c := dial(t, s, connection())
	if err := c.PutTree(t.Context(), `C:\Program Files\Ünï 'x'\`, bytes.NewReader(make([]byte, 1024))); err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{`C:\Program Files\Ünï 'x'\a b.txt`, `c:/Program Files/Ünï 'x'/%41 & $x.txt`, `C:\Program Files/Ünï 'x'\'q'.txt`} {
		if err := c.Put(t.Context(), p, strings.NewReader("in "+p), component.FileMeta{Size: -1}); err != nil {
			t.Errorf("%s: %v", p, err)
		}
		var out bytes.Buffer
		if err := c.Get(t.Context(), p, &out); err != nil || out.String() != "in "+p {
			t.Errorf("%s: %q, %v", p, out.String(), err)
		}
	}
	if err := c.Put(t.Context(), `C:\folder\`, strings.NewReader("x"), component.FileMeta{}); err == nil || !strings.Contains(err.Error(), "folder") {
		t.Errorf("a folder as the file's name: %v", err)
	}
}

// TestAccess: another program can be told to connect as the communicator has
// done.
func TestAccess(t *testing.T) {
	s := start(t, winrmd.Config{TLS: true})
	c := connection()
	c.WinRMUseSSL, c.WinRMInsecure = true, true
	got, err := dial(t, s, c).(component.Accessible).Access()
	want := component.Access{Transport: "winrm", Host: s.Host(), Port: s.Port(), User: c.WinRMUser, Password: c.WinRMPassword, TLS: true, Insecure: true}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Error(diff, err)
	}
}
