//go:build unix

// Package winrmd is a WinRM server for tests. It speaks the remote shell part of
// WS-Management (MS-WSMV): Create, Command, Send, Receive, Signal and Delete,
// over HTTP or TLS, with Basic, NTLM or client certificates.
//
// Below a folder that stands for the drives of the machine, it does what our own
// PowerShell scripts do, those of the communicator and of package winguest, and
// interprets a very small part of PowerShell and of cmd.exe: what the
// provisioners compose. Other command lines are run by /bin/sh.
package winrmd

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// Config says what kind of server it is.
type Config struct {
	// User and Password are the only account.
	User, Password string
	// TLS serves HTTPS with a certificate that nobody knows.
	TLS bool
	// ClientCert is the DER form of a client certificate that is logged in
	// without a password; it needs TLS.
	ClientCert []byte
	// RefuseClientCerts ends the TLS handshake of everybody who shows another
	// certificate than ClientCert.
	RefuseClientCerts bool
	// Offers are the authentication schemes that the server has; nil means
	// Basic.
	Offers []string
	// NoPowerShell makes powershell.exe a program that does not exist.
	NoPowerShell bool
	// OperationTimeout limits how long Receive waits for output, besides what
	// the request says; 0 for no other limit.
	OperationTimeout time.Duration
	// Skew is added to the clock of the server.
	Skew time.Duration
	// MaxShells is how many shells there may be at a time; 0 for any number, negative
	// for none.
	MaxShells int
	// MaxEnvelope is the largest request in bytes; 0 means 153600.
	MaxEnvelope int
	// Accounts are the users that a scheduled task can run as, with their
	// passwords. SYSTEM, without one, is always there.
	Accounts map[string]string
	// Script, when set, may run a PowerShell script; false when it does not.
	Script func(ctx context.Context, text string, out io.Writer) (code int, known bool)
	// Away is how long the machine does not answer when it restarts.
	Away time.Duration
	// RegistryKeys exist until the machine has restarted.
	RegistryKeys []string
	// Fault says what goes wrong with a request; nil means nothing.
	Fault func(Request) Fault
}

// Request is what Config.Fault decides by.
type Request struct {
	// Action is the operation: Create, Command, Send, Receive, Signal, Delete.
	Action string
	// N counts the requests for the action, from 1.
	N int
}

// Fault is what goes wrong with a request.
type Fault struct {
	// Delay comes before everything else.
	Delay time.Duration
	// Status is answered with a text that is not SOAP, without doing anything.
	Status int
	// Drop closes the connection without doing anything.
	Drop bool
	// Lose does what was asked and closes the connection then.
	Lose bool
}

// Server is a running server.
type Server struct {
	cfg Config
	web *httptest.Server
	// root is the folder that stands for the drives: C:\x is root/C/x.
	root string

	mu     sync.Mutex // guards what follows
	shells map[string]*shell
	made   int            // shells that were ever made
	counts map[string]int // requests by action
	logins int            // refused logins
	tasks  map[string]context.CancelFunc
	boot   time.Time // the last start
	boots  int
	// scripts are all PowerShell scripts that were run.
	scripts map[string]bool
	// away is until when nothing is answered.
	away time.Time
}

// Start serves until the test ends.
func Start(t testing.TB, cfg Config) *Server {
	t.Helper()
	s := New(t.TempDir(), cfg)
	t.Cleanup(s.Close)
	return s
}

// New serves until Close. The folder stands for the drives of the machine.
func New(root string, cfg Config) *Server {
	if cfg.MaxEnvelope == 0 {
		cfg.MaxEnvelope = 153600
	}
	if cfg.Offers == nil {
		cfg.Offers = []string{"Basic"}
	}
	accounts := map[string]string{"SYSTEM": ""}
	maps.Copy(accounts, cfg.Accounts)
	cfg.Accounts = accounts
	s := &Server{
		cfg: cfg, root: root, shells: map[string]*shell{}, counts: map[string]int{},
		tasks: map[string]context.CancelFunc{}, scripts: map[string]bool{}, boot: time.Now().Add(-time.Hour),
	}
	s.web = httptest.NewUnstartedServer(http.HandlerFunc(s.serve))
	s.web.Config.ConnContext = s.newSession
	s.web.Config.ErrorLog = quietLog()
	if cfg.TLS {
		s.web.TLS = &tls.Config{ClientAuth: tls.RequestClientCert, VerifyPeerCertificate: s.verifyClient}
		s.web.StartTLS()
	} else {
		s.web.Start()
	}
	return s
}

// verifyClient is asked in the handshake.
func (s *Server) verifyClient(shown [][]byte, _ [][]*x509.Certificate) error {
	if s.cfg.RefuseClientCerts && (len(shown) == 0 || !bytes.Equal(shown[0], s.cfg.ClientCert)) {
		return errors.New("not the client that is expected")
	}
	return nil
}

// Close ends all commands and connections.
func (s *Server) Close() {
	s.endShells()
	s.web.CloseClientConnections()
	s.web.Close()
}

// Reboot ends all commands and forgets all shells, as a restart of the machine does.
func (s *Server) Reboot() {
	s.endShells()
	s.web.CloseClientConnections()
}

// restart is a whole restart: the machine is away for a while, and has started
// later then.
func (s *Server) restart() {
	s.mu.Lock()
	s.away = time.Now().Add(s.cfg.Away)
	s.boots++
	// As if more time had passed than has: what was started an hour ago, then
	// half an hour, and so on, is told apart whatever the clocks do.
	s.boot = s.away.Add(-time.Hour / time.Duration(s.boots+1))
	s.mu.Unlock()
	s.Reboot()
}

func (s *Server) note(script string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.scripts[script] = true
}

// Scripts are the PowerShell scripts that were run, each once.
func (s *Server) Scripts() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(maps.Keys(s.scripts))
}

// Restarts is how often the machine was restarted.
func (s *Server) Restarts() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.boots
}

func (s *Server) started() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.boot
}

// Away reports whether the machine is restarting.
func (s *Server) Away() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return time.Now().Before(s.away)
}

func (s *Server) hasKey(key string) bool {
	return s.Restarts() == 0 && slices.Contains(s.cfg.RegistryKeys, key)
}

func (s *Server) addTask(name string, end context.CancelFunc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tasks[name] = end
}

func (s *Server) endTask(name string) {
	s.mu.Lock()
	end := s.tasks[name]
	delete(s.tasks, name)
	s.mu.Unlock()
	if end != nil {
		end()
	}
}

// Tasks is how many scheduled tasks there are.
func (s *Server) Tasks() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.tasks)
}

func (s *Server) endShells() {
	s.mu.Lock()
	all := s.shells
	s.shells = map[string]*shell{}
	s.mu.Unlock()
	for _, sh := range all {
		sh.end()
	}
}

// Host and Port are where it listens.
func (s *Server) Host() string { return s.address().IP.String() }

// Port is where it listens.
func (s *Server) Port() int { return s.address().Port }

func (s *Server) address() *net.TCPAddr { return s.web.Listener.Addr().(*net.TCPAddr) }

// Shells is how many shells there are now.
func (s *Server) Shells() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.shells)
}

// ShellsMade is how many shells there ever were.
func (s *Server) ShellsMade() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.made
}

// Refused is how many requests had wrong credentials.
func (s *Server) Refused() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.logins
}

// Requests is how many requests there were for an action.
func (s *Server) Requests(action string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.counts[action]
}

// Path is where a path of the machine is on this one. What starts with a
// slash is the same here and there; the rest is below the server's folder.
func (s *Server) Path(windows string) string {
	p := strings.ReplaceAll(windows, `\`, "/")
	switch {
	case strings.HasPrefix(p, "/"):
		return p
	case len(p) > 1 && p[1] == ':':
		return filepath.Join(s.root, strings.ToUpper(p[:1]), p[2:])
	}
	return filepath.Join(s.root, "C", "Users", "tester", p)
}

// serve answers one request.
func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	if s.cfg.Skew != 0 {
		w.Header().Set("Date", time.Now().Add(s.cfg.Skew).UTC().Format(http.TimeFormat))
	}
	if r.Method != http.MethodPost || r.URL.Path != "/wsman" {
		http.NotFound(w, r)
		return
	}
	if s.Away() {
		panic(http.ErrAbortHandler)
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	body, ok := s.login(w, r, body)
	if !ok {
		return
	}
	req, err := parse(body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	f := s.fault(req.action())
	if f.Delay > 0 {
		select {
		case <-time.After(f.Delay):
		case <-r.Context().Done():
			return
		}
	}
	switch {
	case f.Drop:
		panic(http.ErrAbortHandler)
	case f.Status != 0:
		http.Error(w, "the service is not well", f.Status)
		return
	}
	var rep reply
	if len(body) > s.cfg.MaxEnvelope {
		rep = faulty("w:EncodingLimit", 2150858889, "The request has exceeded the maximum envelope size.")
	} else {
		rep = s.do(r.Context(), req)
	}
	if f.Lose || r.Context().Err() != nil {
		panic(http.ErrAbortHandler)
	}
	s.answer(w, r, rep.status, rep.envelope(req))
}

// fault counts the request and says what goes wrong with it.
func (s *Server) fault(action string) Fault {
	s.mu.Lock()
	s.counts[action]++
	n := s.counts[action]
	s.mu.Unlock()
	if s.cfg.Fault == nil {
		return Fault{}
	}
	return s.cfg.Fault(Request{action, n})
}

// answer sends an envelope, in pieces, so that readers have to put it together.
func (s *Server) answer(w http.ResponseWriter, r *http.Request, status int, body string) {
	out, contentType := s.seal(r, []byte(body))
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(status)
	for len(out) > 0 {
		n := min(len(out), 16<<10)
		if _, err := w.Write(out[:n]); err != nil {
			return
		}
		out = out[n:]
		if f, ok := w.(http.Flusher); ok && len(out) > 0 {
			f.Flush()
		}
	}
}

// seconds reads a duration such as PT60S or PT60.000S; 0 when it is none.
func seconds(text string) time.Duration {
	text = strings.TrimSuffix(strings.TrimPrefix(text, "PT"), "S")
	f, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return 0
	}
	return time.Duration(f * float64(time.Second))
}

// URL is where it listens.
func (s *Server) URL() string {
	return fmt.Sprintf("%s/wsman", s.web.URL)
}
