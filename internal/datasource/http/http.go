// Package http is the http data source: it fetches one URL.
package http

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/zclconf/go-cty/cty"

	"ingot/internal/component"
	"ingot/internal/diag"
	"ingot/internal/retry"
)

// maxBody bounds what a template can hold in memory.
const maxBody = 64 << 20

const (
	defaultTimeout = time.Minute
	defaultRetries = 3
	// longestDelay bounds what a server can ask for with Retry-After.
	longestDelay = 2 * time.Minute
)

type dataSource struct {
	transport http.RoundTripper
	clock     component.Clock
	limit     int64
}

// New returns the http data source. It uses the system's certificates and the
// proxy that the environment names.
func New() component.DataSource {
	return dataSource{transport: http.DefaultTransport, clock: component.SystemClock{}, limit: maxBody}
}

type config struct {
	URL            string            `cty:"url"`
	Method         string            `cty:"method"`
	RequestHeaders map[string]string `cty:"request_headers"`
	RequestBody    string            `cty:"request_body"`
	Timeout        time.Duration     `cty:"timeout"`
	MaxRetries     *int              `cty:"max_retries"`
}

func (dataSource) Schema() component.Schema {
	address := component.String("url", "The URL to fetch: http or https.")
	address.Required = true
	return component.Schema{
		Description: "Makes one HTTP request and returns what the server answered. An answer other than 2xx is an error.",
		Attributes: []component.Attribute{
			address,
			{Name: "method", Type: cty.String, OneOf: []string{"HEAD", "GET", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"}, Description: "The HTTP method. Default GET."},
			component.StringMap("request_headers", "Headers to send."),
			component.String("request_body", "Body to send."),
			component.DurationAttr("timeout", "", "Longest time one attempt may take. Default 1m."),
			component.Number("max_retries", "How many more attempts to make after one that failed for a passing reason. Default 3."),
		},
		Manual: &component.Manual{
			Example: `data "http" "example" {
  url = "https://example.com/version.txt"
}
`,
			Results: []component.Term{
				{Name: "url", Description: "The URL, as it was given."},
				{Name: "body", Description: "The body of the response. It has to be text."},
				{Name: "response_headers", Description: "The headers of the response; several of one name are joined by commas."},
				{Name: "request_headers", Description: "The same as response_headers, by the name that Packer has for it."},
				{Name: "status_code", Description: "The status of the response, from 200 to 299."},
			},
		},
	}
}

// Result has the response's headers twice: Packer calls them request_headers.
func (dataSource) Result() cty.Type {
	return cty.Object(map[string]cty.Type{
		"url":              cty.String,
		"body":             cty.String,
		"request_headers":  cty.Map(cty.String),
		"response_headers": cty.Map(cty.String),
		"status_code":      cty.Number,
	})
}

// Read makes the request.
func (d dataSource) Read(ctx context.Context, cfg cty.Value) (cty.Value, diag.List) {
	none := cty.UnknownVal(d.Result())
	if !cfg.IsWhollyKnown() {
		return none, nil
	}
	var c config
	if err := component.Decode(cfg, &c); err != nil {
		return none, diag.Errorf("Invalid configuration", "%s.", err)
	}
	if diags := c.complete(); diags.HasErrors() {
		return none, diags
	}
	a, err := d.fetch(ctx, c)
	if err != nil {
		return none, diag.At("url", "HTTP request failed", "%s %s: %s.", c.Method, c.shownURL(), err)
	}
	var warnings diag.List
	if !utf8.ValidString(a.body) {
		return none, diag.At("url", "Response is not text",
			"The response of %s has the content type %q and is not valid UTF-8, so it cannot be a string in a template.", c.shownURL(), a.header.Get("Content-Type"))
	}
	if t := a.header.Get("Content-Type"); a.body != "" && !textual(t) {
		warnings = diag.WarnAt("url", "Response may not be text", "The response of %s has the content type %q. Its bytes are used as they are.", c.shownURL(), t)
	}
	headers := map[string]cty.Value{}
	for name, values := range a.header {
		headers[name] = cty.StringVal(strings.Join(values, ", "))
	}
	all := cty.MapValEmpty(cty.String)
	if len(headers) > 0 {
		all = cty.MapVal(headers)
	}
	return cty.ObjectVal(map[string]cty.Value{
		"url":              cfg.GetAttr("url"),
		"body":             cty.StringVal(a.body),
		"request_headers":  all,
		"response_headers": all,
		"status_code":      cty.NumberIntVal(int64(a.status)),
	}), warnings
}

// complete fills in defaults and finds mistakes.
func (c *config) complete() diag.List {
	var out diag.List
	u, err := url.Parse(c.URL)
	switch {
	case c.URL == "":
		out = append(out, diag.At("url", "Missing URL", "Set url to what is to be fetched.")...)
	case err != nil:
		out = append(out, diag.At("url", "Invalid URL", "%s.", parseReason(err))...)
	case u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		out = append(out, diag.At("url", "Invalid URL", "The URL must start with http:// or https:// and name a host.")...)
	}
	if c.Method == "" {
		c.Method = http.MethodGet
	}
	if c.Timeout < 0 {
		out = append(out, diag.At("timeout", "Negative duration", "timeout must not be negative, got %s.", c.Timeout)...)
	}
	if c.Timeout == 0 {
		c.Timeout = defaultTimeout
	}
	if c.MaxRetries == nil {
		n := defaultRetries
		c.MaxRetries = &n
	}
	if *c.MaxRetries < 0 {
		out = append(out, diag.At("max_retries", "Negative number", "max_retries must not be negative, got %d.", *c.MaxRetries)...)
	}
	return out
}

// parseReason is a parse error without the URL, which may hold a password.
func parseReason(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}

// shownURL is the URL without its password.
func (c *config) shownURL() string {
	u, err := url.Parse(c.URL)
	if err != nil {
		return "the URL"
	}
	return u.Redacted()
}

type answer struct {
	status int
	header http.Header
	body   string
}

func (d dataSource) fetch(ctx context.Context, c config) (answer, error) {
	var got answer
	var wait time.Duration // what the server asked for last
	err := retry.Do(ctx, patient{d.clock, &wait}, retry.Policy{Attempts: 1 + *c.MaxRetries, First: time.Second, Max: 30 * time.Second},
		func(ctx context.Context) error {
			ctx, cancel := context.WithTimeoutCause(ctx, c.Timeout, retry.As(timeoutClass(c.Method), fmt.Errorf("no complete answer within %s", c.Timeout)))
			defer cancel()
			wait = 0
			var err error
			got, err = d.once(ctx, c)
			var s *statusError
			if errors.As(err, &s) {
				wait = s.after
			}
			return err
		})
	return got, err
}

// timeoutClass: what may have changed something on the server is not repeated.
func timeoutClass(method string) retry.Class {
	if repeatable(method) {
		return retry.Transient
	}
	return retry.Fatal
}

// patient waits at least as long as the server asked for.
type patient struct {
	clock component.Clock
	asked *time.Duration
}

func (p patient) Sleep(ctx context.Context, d time.Duration) error {
	return p.clock.Sleep(ctx, max(d, min(*p.asked, longestDelay)))
}

func (d dataSource) once(ctx context.Context, c config) (answer, error) {
	var body io.Reader
	if c.RequestBody != "" {
		body = strings.NewReader(c.RequestBody)
	}
	req, err := http.NewRequestWithContext(ctx, c.Method, c.URL, body)
	if err != nil {
		return answer{}, retry.As(retry.User, parseReason(err))
	}
	req.Header.Set("User-Agent", "Ingot")
	for name, value := range c.RequestHeaders {
		if strings.EqualFold(name, "Host") {
			req.Host = value
			continue
		}
		req.Header.Set(name, value)
	}
	client := &http.Client{Transport: d.transport}
	res, err := client.Do(req)
	if err != nil {
		return answer{}, transportError(ctx, c.Method, err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, d.limit+1))
	if err != nil {
		return answer{}, transportError(ctx, c.Method, fmt.Errorf("read the response: %w", err))
	}
	if res.StatusCode < 200 || res.StatusCode > 299 {
		return answer{}, newStatusError(res, c.Method, string(text))
	}
	if int64(len(text)) > d.limit {
		return answer{}, retry.As(retry.Fatal, fmt.Errorf("the response is larger than %d bytes", d.limit))
	}
	return answer{res.StatusCode, res.Header, string(text)}, nil
}

// transportError names the cause without the URL, and gives it a class: a
// request that may have reached the server is repeated only when the method
// says that this does no harm.
func transportError(ctx context.Context, method string, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	err = parseReason(err)
	var dial *net.OpError
	var cert *tls.CertificateVerificationError
	var name *net.DNSError
	switch {
	case errors.As(err, &name) && name.IsNotFound:
		return retry.As(retry.User, err)
	case errors.As(err, &cert):
		return retry.As(retry.Fatal, err)
	case errors.As(err, &dial) && dial.Op == "dial":
		return retry.As(retry.Transient, err)
	case !repeatable(method):
		return retry.As(retry.Fatal, err)
	case retry.ClassOf(err) == retry.Unclassified && errors.Is(err, io.EOF):
		return retry.As(retry.Transient, err)
	}
	return err
}

// repeatable reports whether HTTP defines the method as idempotent.
func repeatable(method string) bool { return method != http.MethodPost && method != http.MethodPatch }

// statusError is an answer that is not 2xx.
type statusError struct {
	status string
	text   string
	class  retry.Class
	after  time.Duration
}

func newStatusError(res *http.Response, method, text string) *statusError {
	e := &statusError{status: res.Status, text: excerpt(text), class: retry.User}
	switch code := res.StatusCode; {
	case code == http.StatusTooManyRequests, code == http.StatusServiceUnavailable:
		e.class = retry.Throttled // it was not processed
	case code == http.StatusUnauthorized, code == http.StatusForbidden:
		e.class = retry.Permission
	case code == http.StatusRequestTimeout, code >= 500 && code != http.StatusNotImplemented:
		e.class = timeoutClass(method)
	}
	if s, err := strconv.Atoi(res.Header.Get("Retry-After")); err == nil && s > 0 {
		e.after = time.Duration(min(s, int(longestDelay/time.Second))) * time.Second
	}
	return e
}

func (e *statusError) RetryClass() retry.Class { return e.class }

func (e *statusError) Error() string {
	if e.text == "" {
		return "the server answered " + e.status
	}
	return "the server answered " + e.status + ": " + e.text
}

// excerpt is the first line of an error page, if it is short text.
func excerpt(text string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
	if !utf8.ValidString(line) || strings.HasPrefix(line, "<") {
		return ""
	}
	if r := []rune(line); len(r) > 200 {
		line = string(r[:200]) + "..."
	}
	return strings.TrimSpace(line)
}

// textual reports whether a content type is one for text.
func textual(contentType string) bool {
	kind, params, err := mime.ParseMediaType(contentType)
	if err != nil {
		return contentType == ""
	}
	return strings.HasPrefix(kind, "text/") || params["charset"] != "" ||
		strings.HasSuffix(kind, "+json") || strings.HasSuffix(kind, "+xml") || strings.HasSuffix(kind, "+yaml") ||
		slices.Contains(textKinds(), kind)
}

func textKinds() []string {
	return []string{"application/json", "application/xml", "application/yaml", "application/x-yaml", "application/toml",
		"application/javascript", "application/x-sh"}
}
