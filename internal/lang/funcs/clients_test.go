package funcs

import (
	"context"
	"encoding/pem"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// vars is an environment of tests.
func vars(pairs ...string) Lookup {
	m := map[string]string{}
	for i := 0; i < len(pairs); i += 2 {
		m[pairs[i]] = pairs[i+1]
	}
	return func(name string) (string, bool) { v, ok := m[name]; return v, ok }
}

func wantError(t *testing.T, err error, part string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), part) {
		t.Errorf("got error %v, want one with %q", err, part)
	}
}

// answer is a handler that always says the same.
func answer(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

func serve(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return server.URL
}

func TestVaultRequest(t *testing.T) {
	var got *http.Request
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		got = r
		_, _ = io.WriteString(w, `{"data": {"data": {"port": 8443, "name": "x"}, "metadata": {}}}`)
	})
	vault := VaultFromEnv(vars("VAULT_ADDR", url+"/base/", "VAULT_TOKEN", "s.token", "VAULT_NAMESPACE", "team"))
	table := Table(Env{Vault: vault})
	runCases(t, table, map[string][]evalCase{"vault": {{`vault("/secret/data/my app", "port")`, `"8443"`}}})
	want := []string{"GET", "/base/v1/secret/data/my app", "s.token", "team", "true"}
	sent := []string{got.Method, got.URL.Path, got.Header.Get("X-Vault-Token"), got.Header.Get("X-Vault-Namespace"), got.Header.Get("X-Vault-Request")}
	if diff := cmp.Diff(want, sent); diff != "" {
		t.Errorf("request (-want +got):\n%s", diff)
	}
}

func TestVaultErrors(t *testing.T) {
	read := func(env Lookup) error {
		_, err := vaultClient{env, &pauses{}}.Read(context.Background(), "secret/web")
		return err
	}
	for _, c := range []struct {
		status     int
		body, want string
	}{
		{403, `{"errors": ["permission denied"]}`, "permission denied"},
		{404, `{"errors": [], "warnings": ["Invalid path for a versioned K/V secrets engine"]}`, "not found: Invalid path for a versioned K/V secrets engine"},
		{404, `nonsense`, "not found"},
		{503, `{"errors": ["Vault is sealed"]}`, "http status 503: Vault is sealed"},
		{200, `nonsense`, "the answer is not what vault sends"},
	} {
		url := serve(t, answer(c.status, c.body))
		wantError(t, read(vars("VAULT_ADDR", url, "VAULT_TOKEN", "t")), c.want)
	}
	wantError(t, read(vars()), "VAULT_TOKEN is not set")
	wantError(t, read(vars("VAULT_TOKEN", "t", "VAULT_ADDR", "localhost:8200")), `VAULT_ADDR "localhost:8200" is not the URL of a server`)
	wantError(t, read(vars("VAULT_TOKEN", "t", "VAULT_SKIP_VERIFY", "maybe")), `VAULT_SKIP_VERIFY is "maybe", not a bool`)
	wantError(t, read(vars("VAULT_TOKEN", "t", "VAULT_CACERT", "/nowhere.pem")), "/nowhere.pem")
	wantError(t, read(vars("VAULT_TOKEN", "t", "VAULT_CLIENT_CERT", "/nowhere.pem")), "client certificate")
}

func TestVaultTLS(t *testing.T) {
	server := httptest.NewUnstartedServer(answer(200, `{"data": {"k": "v"}}`))
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // the refused handshake is wanted
	server.StartTLS()
	t.Cleanup(server.Close)
	dir := t.TempDir()
	ca := filepath.Join(dir, "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	empty := filepath.Join(dir, "empty.pem")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	read := func(more ...string) error {
		env := vars(append([]string{"VAULT_ADDR", server.URL, "VAULT_TOKEN", "t"}, more...)...)
		_, err := VaultFromEnv(env).Read(context.Background(), "kv/x")
		return err
	}
	if err := read("VAULT_CACERT", ca); err != nil {
		t.Errorf("with the authority: %v", err)
	}
	if err := read("VAULT_CAPATH", dir); err != nil {
		t.Errorf("with a folder of authorities: %v", err)
	}
	if err := read("VAULT_CACERT", ca, "VAULT_TLS_SERVER_NAME", "example.com"); err != nil {
		t.Errorf("with a name that the certificate has: %v", err)
	}
	wantError(t, read("VAULT_CACERT", ca, "VAULT_TLS_SERVER_NAME", "other.invalid"), "not other.invalid")
	wantError(t, read("VAULT_CAPATH", t.TempDir()), "holds a certificate")
	wantError(t, read("VAULT_CAPATH", filepath.Join(dir, "none")), "certificates of authorities")
	if err := read("VAULT_SKIP_VERIFY", "true"); err != nil {
		t.Errorf("without a check: %v", err)
	}
	wantError(t, read(), "certificate")
	wantError(t, read("VAULT_CACERT", empty), "holds no certificate")
}

// Ensure a standby server's redirect is followed with the token, and one that would send the token in the clear is not.
func TestRedirects(t *testing.T) {
	var token string
	active := serve(t, func(w http.ResponseWriter, r *http.Request) {
		token = r.Header.Get("X-Vault-Token")
		_, _ = io.WriteString(w, `{"data": {"k": "v"}}`)
	})
	redirect := func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, active+r.URL.Path, http.StatusTemporaryRedirect)
	}
	if _, err := VaultFromEnv(vars("VAULT_ADDR", serve(t, redirect), "VAULT_TOKEN", "t")).Read(context.Background(), "kv/x"); err != nil || token != "t" {
		t.Errorf("plain standby: token %q, error %v", token, err)
	}
	token = ""
	secure := httptest.NewTLSServer(http.HandlerFunc(redirect))
	t.Cleanup(secure.Close)
	_, err := VaultFromEnv(vars("VAULT_ADDR", secure.URL, "VAULT_TOKEN", "t", "VAULT_SKIP_VERIFY", "1")).Read(context.Background(), "kv/x")
	wantError(t, err, "refusing a redirect from https")
	if token != "" {
		t.Error("the token was sent in the clear")
	}
	loop := serve(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, r.URL.Path, http.StatusTemporaryRedirect)
	})
	_, err = VaultFromEnv(vars("VAULT_ADDR", loop, "VAULT_TOKEN", "t")).Read(context.Background(), "kv/x")
	wantError(t, err, "too many redirects")
}

// pauses does not wait; it counts how often it was asked to.
type pauses struct{ n int }

func (p *pauses) Sleep(ctx context.Context, _ time.Duration) error {
	p.n++
	return context.Cause(ctx)
}

// flaky refuses the first requests in a way of its own and then hands on to ok.
func flaky(times int, refuse func(http.ResponseWriter), ok http.HandlerFunc) http.HandlerFunc {
	var n atomic.Int64
	return func(w http.ResponseWriter, r *http.Request) {
		if n.Add(1) <= int64(times) {
			refuse(w)
			return
		}
		ok(w, r)
	}
}

// Ensure that what fails for a passing reason is asked again, a few times and not for ever, and nothing else is.
func TestPassingFailuresAreRepeated(t *testing.T) {
	status := func(code int) func(http.ResponseWriter) {
		return func(w http.ResponseWriter) { w.WriteHeader(code) }
	}
	drop := func(w http.ResponseWriter) {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err == nil {
			conn.Close()
		}
	}
	for _, c := range []struct {
		name   string
		times  int
		refuse func(http.ResponseWriter)
		waits  int
		fails  bool
	}{
		{"busy", 3, status(503), 3, false},
		{"too many requests", 1, status(429), 1, false},
		{"an error of the server", 2, status(500), 2, false},
		{"not for ever", 4, status(502), 3, true},
		{"connection lost", 1, drop, 1, false},
		{"refused for good", 1, status(403), 0, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			wait := &pauses{}
			url := serve(t, flaky(c.times, c.refuse, answer(200, `{"data": {"k": "v"}}`)))
			_, err := vaultClient{vars("VAULT_ADDR", url, "VAULT_TOKEN", "t"), wait}.Read(context.Background(), "kv/x")
			if (err != nil) != c.fails || wait.n != c.waits {
				t.Errorf("vault: %d waits, want %d; error %v", wait.n, c.waits, err)
			}
			wait = &pauses{}
			url = serve(t, flaky(c.times, c.refuse, answer(200, "red")))
			_, err = consulClient{vars("CONSUL_HTTP_ADDR", url), wait}.Value(context.Background(), "k")
			if (err != nil) != c.fails || wait.n != c.waits {
				t.Errorf("consul: %d waits, want %d; error %v", wait.n, c.waits, err)
			}
		})
	}
}

// Ensure an interrupt ends the waiting, and that the error is what the server said last.
func TestInterruptedWait(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	url := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		cancel()
		w.WriteHeader(http.StatusServiceUnavailable)
	})
	_, err := consulClient{vars("CONSUL_HTTP_ADDR", url), pause{}}.Value(ctx, "k")
	if err == nil {
		t.Error("no error after an interrupt")
	}
}

func TestConsulRequest(t *testing.T) {
	var got *http.Request
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		got = r
		_, _ = io.WriteString(w, "red")
	})
	host := strings.TrimPrefix(url, "http://")
	tokenFile := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(tokenFile, []byte("from-file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		env  Lookup
		want []string
	}{
		{vars("CONSUL_HTTP_ADDR", host), []string{"/v1/kv/app/my color", "raw=", "", ""}},
		{vars("CONSUL_HTTP_ADDR", url+"/base", "CONSUL_HTTP_TOKEN", "tok", "CONSUL_NAMESPACE", "team"), []string{"/base/v1/kv/app/my color", "ns=team&raw=", "tok", ""}},
		{vars("CONSUL_HTTP_ADDR", url, "CONSUL_HTTP_SSL", "true", "CONSUL_HTTP_TOKEN_FILE", tokenFile, "CONSUL_HTTP_AUTH", "me:pw"), []string{"/v1/kv/app/my color", "raw=", "from-file", "Basic bWU6cHc="}},
	} {
		value, err := ConsulFromEnv(c.env).Value(context.Background(), "/app/my color")
		if err != nil || value != "red" {
			t.Errorf("value %q, error %v", value, err)
			continue
		}
		sent := []string{got.URL.Path, got.URL.RawQuery, got.Header.Get("X-Consul-Token"), got.Header.Get("Authorization")}
		if diff := cmp.Diff(c.want, sent); diff != "" {
			t.Errorf("request (-want +got):\n%s", diff)
		}
	}
}

func TestConsulErrors(t *testing.T) {
	read := func(pairs ...string) error {
		_, err := consulClient{vars(pairs...), &pauses{}}.Value(context.Background(), "k")
		return err
	}
	wantError(t, read("CONSUL_HTTP_ADDR", serve(t, answer(404, ""))), "not found")
	wantError(t, read("CONSUL_HTTP_ADDR", serve(t, answer(403, "ACL not found\n"))), "permission denied: ACL not found")
	wantError(t, read("CONSUL_HTTP_ADDR", serve(t, answer(500, "No cluster leader"))), "http status 500: No cluster leader")
	wantError(t, read("CONSUL_HTTP_ADDR", serve(t, answer(200, "\xff"))), "not valid UTF-8")
	wantError(t, read("CONSUL_HTTP_ADDR", "unix:///run/consul.sock"), "neither host:port nor a URL")
	wantError(t, read("CONSUL_HTTP_SSL", "maybe"), `CONSUL_HTTP_SSL is "maybe", not a bool`)
	wantError(t, read("CONSUL_HTTP_SSL_VERIFY", "maybe"), `CONSUL_HTTP_SSL_VERIFY is "maybe"`)
	wantError(t, read("CONSUL_HTTP_TOKEN_FILE", "/nowhere"), "CONSUL_HTTP_TOKEN_FILE")
}

// Ensure CONSUL_HTTP_SSL turns a bare address into TLS.
func TestConsulTLS(t *testing.T) {
	server := httptest.NewTLSServer(answer(200, "red"))
	t.Cleanup(server.Close)
	host := strings.TrimPrefix(server.URL, "https://")
	value, err := ConsulFromEnv(vars("CONSUL_HTTP_ADDR", host, "CONSUL_HTTP_SSL", "1", "CONSUL_HTTP_SSL_VERIFY", "false")).Value(context.Background(), "k")
	if err != nil || value != "red" {
		t.Errorf("value %q, error %v", value, err)
	}
}

// Ensure a server that accepts and then stays silent is given up, over a real connection.
func TestSilentServer(t *testing.T) {
	release := make(chan struct{})
	url := serve(t, func(http.ResponseWriter, *http.Request) { <-release })
	t.Cleanup(func() { close(release) })
	env := Env{NetworkTimeout: 50 * time.Millisecond, Consul: ConsulFromEnv(vars("CONSUL_HTTP_ADDR", url))}
	_, err := eval(Table(env), `consul_key("k")`)
	wantError(t, err, "consul did not answer within 50ms")
}

func TestHugeAnswer(t *testing.T) {
	url := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		chunk := make([]byte, 1<<20)
		for range 9 {
			_, _ = w.Write(chunk)
		}
	})
	_, err := ConsulFromEnv(vars("CONSUL_HTTP_ADDR", url)).Value(context.Background(), "k")
	wantError(t, err, "is larger than")
}
