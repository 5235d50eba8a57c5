package funcs

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"ingot/internal/retry"
)

// Lookup reads an environment variable; os.LookupEnv is the real one.
type Lookup func(name string) (value string, ok bool)

// get returns a variable's value, or fallback if it is not set or empty.
func (l Lookup) get(name, fallback string) string {
	if value, ok := l(name); ok && value != "" {
		return value
	}
	return fallback
}

// flag reads a variable that holds a bool.
func (l Lookup) flag(name string, fallback bool) (bool, error) {
	value := l.get(name, "")
	if value == "" {
		return fallback, nil
	}
	on, err := strconv.ParseBool(value)
	if err != nil {
		return false, fmt.Errorf("%s is %q, not a bool", name, value)
	}
	return on, nil
}

// tlsFiles names what a server's certificate is checked with and what we show in turn; empty means the system's roots
// and nothing to show.
type tlsFiles struct {
	// ca is a file of certificates, and caDir a folder of such files; the file counts when there are both.
	ca, caDir string
	cert, key string
	// serverName is what the server's certificate has to name instead of its address.
	serverName string
	insecure   bool
}

// client builds an HTTP client for a handful of requests: it keeps no connection open, and honours the proxy variables
// of the process.
func (f tlsFiles) client() (*http.Client, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: f.insecure, ServerName: f.serverName}
	var err error
	if config.RootCAs, err = f.roots(); err != nil {
		return nil, err
	}
	if f.cert != "" || f.key != "" {
		pair, err := tls.LoadX509KeyPair(f.cert, f.key)
		if err != nil {
			return nil, fmt.Errorf("client certificate: %w", err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment, TLSClientConfig: config, DisableKeepAlives: true}
	return &http.Client{Transport: transport, CheckRedirect: sameOrSafer}, nil
}

// roots are the authorities to trust; nil stands for the system's.
func (f tlsFiles) roots() (*x509.CertPool, error) {
	files := []string{f.ca}
	if f.ca == "" {
		if f.caDir == "" {
			return nil, nil
		}
		entries, err := os.ReadDir(f.caDir)
		if err != nil {
			return nil, fmt.Errorf("certificates of authorities: %w", err)
		}
		files = nil
		for _, e := range entries {
			if !e.IsDir() {
				files = append(files, filepath.Join(f.caDir, e.Name()))
			}
		}
	}
	pool, found := x509.NewCertPool(), false
	for _, file := range files {
		pem, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("certificates of authorities: %w", err)
		}
		if pool.AppendCertsFromPEM(pem) {
			found = true
		} else if f.ca != "" {
			return nil, fmt.Errorf("file %q holds no certificate in PEM form", file)
		}
	}
	if !found {
		return nil, fmt.Errorf("no file in the folder %q holds a certificate in PEM form", f.caDir)
	}
	return pool, nil
}

// sameOrSafer follows a few redirects, as a standby server answers with one, but never from TLS to plain text: our
// token goes along.
func sameOrSafer(req *http.Request, via []*http.Request) error {
	if len(via) >= 3 {
		return errors.New("too many redirects")
	}
	if via[0].URL.Scheme == "https" && req.URL.Scheme != "https" {
		return fmt.Errorf("refusing a redirect from https to %s", req.URL.Redacted())
	}
	return nil
}

// reply is an answer with its body read.
type reply struct {
	status int
	body   []byte
}

// attempts is how often a request is sent that fails for a passing reason.
const attempts = 4

// pause waits between attempts.
type pause struct{}

func (pause) Sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// errAnswer makes fetch repeat a request whose answer, an unwelcome one, passes.
var errAnswer = retry.As(retry.Transient, errors.New("the server asked for another attempt"))

// fetch sends a request and returns the answer, whatever its status. It builds and sends the request again when the
// connection failed, or when passes says so of an answer; after the last attempt the answer is returned as it is. The
// requests must be ones that change nothing.
func fetch(ctx context.Context, wait retry.Sleeper, client *http.Client, build func(context.Context) (*http.Request, error), passes func(reply) bool) (reply, error) {
	var last reply
	var failed error
	err := retry.Do(ctx, wait, retry.Policy{Attempts: attempts}, func(ctx context.Context) error {
		var req *http.Request
		if req, failed = build(ctx); failed != nil {
			return retry.As(retry.User, failed)
		}
		if last, failed = send(client, req); failed != nil {
			return failed
		}
		if passes(last) {
			return errAnswer
		}
		return nil
	})
	if err == nil || errors.Is(err, errAnswer) {
		return last, nil
	}
	return reply{}, failed // why a wait was ended is the caller's to say
}

// busy tells answers by which a server says that it cannot answer now.
func busy(r reply) bool {
	return r.status == http.StatusTooManyRequests || r.status == http.StatusRequestTimeout ||
		r.status >= 500 && r.status != http.StatusNotImplemented
}

// send sends a request and reads the whole answer, which no secret store makes larger than a few megabytes.
func send(client *http.Client, req *http.Request) (r reply, err error) {
	const most = 8 << 20
	resp, err := client.Do(req)
	if errors.Is(err, io.EOF) {
		return reply{}, retry.As(retry.Transient, err) // the connection was closed before an answer
	}
	if err != nil {
		return reply{}, err
	}
	defer func() { err = errors.Join(err, resp.Body.Close()) }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, most+1))
	if err != nil {
		return reply{}, fmt.Errorf("read the answer of %s: %w", req.URL.Host, err)
	}
	if len(body) > most {
		return reply{}, fmt.Errorf("the answer of %s is larger than %d bytes", req.URL.Host, most)
	}
	return reply{status: resp.StatusCode, body: body}, nil
}
