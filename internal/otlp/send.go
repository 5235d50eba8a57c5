package otlp

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"ingot/internal/history"
	"ingot/internal/retry"
)

// Send sends a run. What may pass is tried again until the time-out.
func Send(ctx context.Context, s Settings, run *history.Run, clock retry.Sleeper) error {
	data, err := Encode(s, run)
	if err != nil {
		return err
	}
	if s.Gzip {
		if data, err = compress(data); err != nil {
			return fmt.Errorf("otlp: %w", err)
		}
	}
	client, err := s.client()
	if err != nil {
		return err
	}
	defer client.CloseIdleConnections()
	ctx, cancel := context.WithTimeoutCause(ctx, s.Timeout, fmt.Errorf("time-out of %s reached", s.Timeout))
	defer cancel()
	err = retry.Do(ctx, clock, retry.Policy{
		Attempts: 4, First: 200 * time.Millisecond, Max: 2 * time.Second,
		Retryable: func(err error) bool { return ctx.Err() == nil && retry.ClassOf(err).MayPass() },
	}, func(ctx context.Context) error { return s.post(ctx, client, data) })
	if err != nil {
		return fmt.Errorf("otlp: send the trace: %w", err)
	}
	return nil
}

func compress(data []byte) ([]byte, error) {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	_, err := w.Write(data)
	err = errors.Join(err, w.Close())
	return out.Bytes(), err
}

// client trusts what the settings say, and goes through the proxy that the
// environment names.
func (s Settings) client() (*http.Client, error) {
	conf := &tls.Config{MinVersion: tls.VersionTLS12}
	if s.Certificate != "" {
		pem, err := os.ReadFile(s.Certificate)
		if err != nil {
			return nil, fmt.Errorf("otlp: OTEL_EXPORTER_OTLP_CERTIFICATE: %w", err)
		}
		conf.RootCAs = x509.NewCertPool()
		if !conf.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("otlp: OTEL_EXPORTER_OTLP_CERTIFICATE: %s has no certificate", s.Certificate)
		}
	}
	if s.ClientCertificate != "" || s.ClientKey != "" {
		own, err := tls.LoadX509KeyPair(s.ClientCertificate, s.ClientKey)
		if err != nil {
			return nil, fmt.Errorf("otlp: OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE and OTEL_EXPORTER_OTLP_CLIENT_KEY: %w", err)
		}
		conf.Certificates = []tls.Certificate{own}
	}
	return &http.Client{
		Transport: &http.Transport{Proxy: http.ProxyFromEnvironment, TLSClientConfig: conf, ForceAttemptHTTP2: true},
		// A receiver that sends us elsewhere would be given the headers.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, nil
}

// answerMost is how much of an answer is read.
const answerMost = 4 << 10

func (s Settings) post(ctx context.Context, client *http.Client, data []byte) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.Endpoint, bytes.NewReader(data))
	if err != nil {
		return retry.As(retry.User, err)
	}
	for name, v := range s.Headers {
		req.Header.Set(name, v)
	}
	req.Header.Set("Content-Type", "application/json")
	if s.Gzip {
		req.Header.Set("Content-Encoding", "gzip")
	}
	resp, err := client.Do(req)
	if err != nil {
		return err // its URL has no password in it
	}
	defer resp.Body.Close()
	answer, _ := io.ReadAll(io.LimitReader(resp.Body, answerMost)) // only for the message
	if resp.StatusCode/100 == 2 {
		return nil
	}
	err = fmt.Errorf("%s answered %s: %s", req.URL.Host, resp.Status, strings.TrimSpace(string(answer)))
	switch resp.StatusCode {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return retry.As(retry.Transient, err)
	case http.StatusUnauthorized, http.StatusForbidden:
		return retry.As(retry.Permission, err)
	}
	return retry.As(retry.User, err)
}
