package ratelimit

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"ingot/internal/failpoint"
	"ingot/internal/retry"
)

// Transport returns a transport whose requests wait for their turn, and which learns
// from the answers. It repeats nothing: that is for those who know whether a request
// may be repeated.
func (l *Limiter) Transport(next http.RoundTripper) http.RoundTripper {
	return transport{limiter: l, next: next}
}

type transport struct {
	limiter *Limiter
	next    http.RoundTripper
}

// RoundTrip implements http.RoundTripper.
func (t transport) RoundTrip(req *http.Request) (*http.Response, error) {
	if err := t.limiter.Wait(req.Context()); err != nil {
		return nil, err
	}
	if err := failpoint.Reached(failpoint.ProviderCall); err != nil {
		return nil, err
	}
	began := t.now()
	res, err := t.next.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	class, after := Judge(res.StatusCode, res.Header, t.now())
	t.limiter.Observe(began, class, after)
	if err := failpoint.Reached(failpoint.ProviderCalled); err != nil {
		res.Body.Close()
		return nil, err
	}
	return res, nil
}

func (t transport) now() time.Time {
	if t.limiter == nil {
		return time.Time{}
	}
	return t.limiter.clock.Now()
}

// CloseIdleConnections passes the request on.
func (t transport) CloseIdleConnections() {
	if c, ok := t.next.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

// Judge says what an HTTP answer means for further calls: its class, Unclassified
// when it is none that complains about their number or the state of the service, and
// how long the service wants to be left alone.
func Judge(status int, header http.Header, now time.Time) (retry.Class, time.Duration) {
	after := retryAfter(header.Get("Retry-After"), now)
	switch {
	case status == http.StatusTooManyRequests:
		return retry.Throttled, after
	case status == http.StatusServiceUnavailable && after > 0:
		return retry.Throttled, after
	case status >= 500 && status != http.StatusNotImplemented, status == http.StatusRequestTimeout:
		return retry.Transient, after
	}
	return retry.Unclassified, 0
}

// longestAfter is how long a service is left alone at most, whatever it says.
const longestAfter = 10 * time.Minute

// retryAfter reads the header, which is a number of seconds or a date; 0 when it is
// neither.
func retryAfter(text string, now time.Time) time.Duration {
	text = strings.TrimSpace(text)
	if seconds, err := strconv.ParseUint(text, 10, 32); err == nil {
		return min(time.Duration(seconds)*time.Second, longestAfter)
	}
	if at, err := http.ParseTime(text); err == nil {
		return min(max(at.Sub(now), 0), longestAfter)
	}
	return 0
}

// throttlingCodes are the codes by which services say in their answers, whatever the
// status, that there are too many requests. They are compared without regard to
// case.
var throttlingCodes = map[string]bool{
	"throttling": true, "throttlingexception": true, "throttledexception": true, "throttled": true,
	"requestlimitexceeded": true, "requestthrottled": true, "requestthrottledexception": true,
	"toomanyrequests": true, "toomanyrequestsexception": true, "slowdown": true, "bandwidthlimitexceeded": true,
	"provisionedthroughputexceededexception": true, "ratelimitexceeded": true, "userratelimitexceeded": true,
	"priorrequestnotcomplete": true, "ec2throttledexception": true,
}

// IsThrottlingCode reports whether an error code of a service, such as
// RequestLimitExceeded, asks for fewer requests.
func IsThrottlingCode(code string) bool { return throttlingCodes[strings.ToLower(code)] }

// StatusError is an HTTP answer as an error with its class.
func StatusError(doing string, res *http.Response, now time.Time) error {
	class, after := Judge(res.StatusCode, res.Header, now)
	switch {
	case class != retry.Unclassified:
	case res.StatusCode == http.StatusUnauthorized, res.StatusCode == http.StatusForbidden:
		class = retry.Permission
	case res.StatusCode >= 400 && res.StatusCode < 500:
		class = retry.User
	default:
		class = retry.Fatal
	}
	return retry.After(after, retry.As(class, fmt.Errorf("%s: the service answered %s", doing, res.Status)))
}
