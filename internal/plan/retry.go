package plan

import (
	"context"
	"slices"
	"time"

	"github.com/zclconf/go-cty/cty"

	"ingot/internal/diag"
	"ingot/internal/lang"
	"ingot/internal/retry"
	"ingot/internal/template"
)

// Retry says when a build is made again as a whole, from a new machine.
type Retry struct {
	// Max is how many more attempts to make; 0 for a build without a retry
	// block.
	Max int
	// Delay is how long to wait before the second attempt. It grows with each
	// one, up to MaxDelay.
	Delay, MaxDelay time.Duration
	// On are the classes of failures to try again after.
	On []retry.Class
	// Any adds all failures that are not known to last.
	Any bool
}

// DefaultRetry is what a retry block without arguments means.
func DefaultRetry() Retry {
	return Retry{
		Max: 1, Delay: 10 * time.Second, MaxDelay: 5 * time.Minute,
		On: []retry.Class{retry.Transient, retry.Throttled, retry.Capacity},
	}
}

// After reports whether to try again after a failure.
func (r Retry) After(err error) bool {
	class := retry.ClassOf(err)
	if slices.Contains(r.On, class) {
		return true
	}
	return r.Any && class.MayPass()
}

const anyFailure = "any"

// retryBlock evaluates a retry block.
func (p *planner) retryBlock(ctx context.Context, v *lang.View, b *template.Retry) (Retry, diag.List) {
	if b == nil {
		return Retry{}, nil
	}
	out := DefaultRetry()
	m := metaReader{planner: p, ctx: ctx, view: v, attrs: b.Arguments}
	if b.Arguments["max_retries"] != nil {
		out.Max = m.count("max_retries")
	}
	if d := m.duration("delay"); d > 0 {
		out.Delay = d
	}
	if d := m.duration("max_delay"); d > 0 {
		out.MaxDelay = d
	}
	if out.MaxDelay < out.Delay {
		if b.Arguments["max_delay"] != nil {
			m.diags = append(m.diags, diag.In(b.Arguments["max_delay"].Expr.Range(), "Invalid duration",
				"The argument \"max_delay\" (%s) cannot be less than delay (%s).", out.MaxDelay, out.Delay)...)
		}
		out.MaxDelay = out.Delay
	}
	m.retryOn(&out)
	return out, m.diags
}

// retryOn reads the classes.
func (m *metaReader) retryOn(out *Retry) {
	val, ok := m.value("on", cty.List(cty.String))
	if !ok {
		return
	}
	known := map[string]retry.Class{}
	names := []string{anyFailure}
	for _, c := range DefaultRetry().On {
		known[c.String()] = c
		names = append(names, c.String())
	}
	out.On, out.Any = nil, false
	for i, el := range val.AsValueSlice() {
		if el.IsNull() || !el.IsKnown() {
			continue
		}
		class, ok := known[el.AsString()]
		switch {
		case ok:
			out.On = append(out.On, class)
		case el.AsString() == anyFailure:
			out.Any = true
		default:
			m.diags = append(m.diags, diag.In(lang.PartRange(m.attrs["on"].Expr, cty.IndexIntPath(i)), "Unknown kind of failure",
				"%q is not a failure to try again after.%s", el.AsString(), diag.Suggest(el.AsString(), "kinds", names))...)
		}
	}
}
