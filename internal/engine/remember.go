package engine

import (
	"context"

	"ingot/internal/component"
	"ingot/internal/outcome"
)

// probe tells what a resource of an artifact is.
func (b *build) probe(ctx context.Context, r component.Resource) (mark string, known bool, err error) {
	if b.o.Probe == nil {
		return "", false, nil
	}
	return b.o.Probe(ctx, r)
}

// remember writes what was made for later runs. A build does not fail because of
// that.
func (b *build) remember(m outcome.Made) {
	if err := b.o.Outcomes.Made(m); err != nil {
		b.forgotten(err)
		return
	}
	b.made = b.o.Outcomes != nil
}

// rememberEnd writes how the build ended, if what it made is known.
func (b *build) rememberEnd(res BuildResult) {
	if !b.made {
		return
	}
	end := outcome.Ended{Build: b.plan.Addr.String(), Artifacts: res.Artifacts}
	if res.Err != nil {
		end.Failure = res.Err.Error()
	}
	end.Marks = outcome.Mark(b.o.Release, res.Artifacts, b.o.Dir, b.probe)
	if err := b.o.Outcomes.Ended(end); err != nil {
		b.forgotten(err)
	}
}

func (b *build) forgotten(err error) {
	b.rt.Emit(component.Warning{
		Summary: "Later runs will not know of this artifact",
		Detail:  err.Error() + ". `ingot build -if-changed` builds anew, and `ingot post-process` cannot be used with it.",
	})
}
