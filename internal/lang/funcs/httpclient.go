package funcs

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
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
	ca, cert, key string
	insecure      bool
}

// client builds an HTTP client for a handful of requests: it keeps no connection open, and honours the proxy variables
// of the process.
func (f tlsFiles) client() (*http.Client, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: f.insecure}
	if f.ca != "" {
		pem, err := os.ReadFile(f.ca)
		if err != nil {
			return nil, fmt.Errorf("certificates of authorities: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("file %q holds no certificate in PEM form", f.ca)
		}
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

// fetch sends a request and reads the whole answer, which no secret store makes larger than a few megabytes.
func fetch(client *http.Client, req *http.Request) (r reply, err error) {
	const most = 8 << 20
	resp, err := client.Do(req)
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
