package fakecloud

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"time"

	"ingot/internal/component"
	"ingot/internal/ratelimit"
	"ingot/internal/retry"
)

// errGone is the answer about what the cloud does not find.
var errGone = errors.New("not found")

// client calls the service. Every call may be made again: a create call has a token.
type client struct {
	endpoint string
	http     *http.Client
	clock    component.Clock
	// tell says who is told of every failure of a call that is tried again.
	tell func(call string) func(err error, attempt int, delay time.Duration)
}

// Deps are what the builder and the reaper need of the world.
type Deps struct {
	Clock component.Clock
	// Dial connects to the cloud; nil is the system's.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Around, when it is set, stands around every request.
	Around func(http.RoundTripper) http.RoundTripper
}

// SystemDeps are the real ones.
func SystemDeps() Deps { return Deps{Clock: component.SystemClock{}} }

func (d Deps) client(endpoint string, limits *ratelimit.Limits) *client {
	// Connections are not kept: a request on one that the service has closed would
	// be made again by the library, which a test could not tell from us.
	var way http.RoundTripper = &http.Transport{DisableKeepAlives: true, DialContext: d.Dial}
	if d.Around != nil {
		way = d.Around(way)
	}
	limiter := limits.Endpoint(endpoint)
	return &client{endpoint: endpoint, clock: d.Clock, http: &http.Client{Transport: limiter.Transport(way), Timeout: 30 * time.Second}}
}

// callAttempts is how often a call is made at most.
const callAttempts = 6

func (c *client) call(ctx context.Context, method, path string, in, out any) error {
	what := method + " " + path
	policy := retry.Policy{Attempts: callAttempts, First: 20 * time.Millisecond, Max: time.Second}
	if c.tell != nil {
		policy.Notify = c.tell(what)
	}
	return retry.Do(ctx, c.clock, policy, func(ctx context.Context) error { return c.once(ctx, what, method, path, in, out) })
}

func (c *client) once(ctx context.Context, what, method, path string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return fmt.Errorf("fakecloud: %s: %w", what, err)
	}
	req, err := http.NewRequestWithContext(ctx, method, c.endpoint+"/"+path, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("fakecloud: %s: %w", what, err)
	}
	// Without this the library makes requests again by itself.
	req.GetBody = nil
	res, err := c.http.Do(req)
	if err != nil {
		if ctx.Err() != nil {
			return fmt.Errorf("fakecloud: %s: %w", what, context.Cause(ctx))
		}
		return retry.As(retry.Transient, fmt.Errorf("fakecloud: %s: %w", what, err))
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return c.explain(what, res)
	}
	if out == nil {
		return nil
	}
	if err := json.NewDecoder(res.Body).Decode(out); err != nil {
		return retry.As(retry.Transient, fmt.Errorf("fakecloud: %s: %w", what, err))
	}
	return nil
}

func (c *client) explain(what string, res *http.Response) error {
	var said struct{ Code, Message string }
	// An answer in another form has only its status.
	_ = json.NewDecoder(res.Body).Decode(&said)
	err := ratelimit.StatusError("fakecloud: "+what, res, c.clock.Now())
	class := retry.ClassOf(err)
	switch {
	case said.Code == "NotFound":
		return fmt.Errorf("fakecloud: %s: %s: %w", what, said.Message, errGone)
	case said.Code == "InsufficientCapacity":
		class = retry.Capacity
	case said.Code == "InUse":
		class = retry.Transient
	case ratelimit.IsThrottlingCode(said.Code):
		class = retry.Throttled
	}
	return retry.As(class, fmt.Errorf("%w: %s: %s", err, said.Code, said.Message))
}

func (c *client) create(ctx context.Context, collection string, t Thing) (Thing, error) {
	var out Thing
	err := c.call(ctx, http.MethodPost, collection, t, &out)
	return out, err
}

func (c *client) get(ctx context.Context, collection, id string) (Thing, error) {
	var out Thing
	err := c.call(ctx, http.MethodGet, collection+"/"+id, nil, &out)
	return out, err
}

func (c *client) delete(ctx context.Context, collection, id string) error {
	return c.call(ctx, http.MethodDelete, collection+"/"+id, nil, nil)
}

func (c *client) stop(ctx context.Context, id string) error {
	return c.call(ctx, http.MethodPost, Instances+"/"+id+"/stop", nil, nil)
}

// list returns what has a label, "KEY=VALUE" or "KEY".
func (c *client) list(ctx context.Context, collection, label string) ([]Thing, error) {
	var out []Thing
	err := c.call(ctx, http.MethodGet, collection+"?label="+url.QueryEscape(label), nil, &out)
	return out, err
}

// settleTime is how long after its creation the cloud may not find a thing.
const settleTime = time.Second

// await looks at a thing until it is in a state. That it is not found means nothing
// for as long as it may not be found yet.
func (c *client) await(ctx context.Context, collection, id, state string) error {
	begin := c.clock.Now()
	for {
		t, err := c.get(ctx, collection, id)
		switch {
		case errors.Is(err, errGone) && c.clock.Now().Sub(begin) < settleTime:
		case err != nil:
			return err
		case t.State == state:
			return nil
		}
		if err := c.clock.Sleep(ctx, pollEvery); err != nil {
			return err
		}
	}
}

const pollEvery = 10 * time.Millisecond
