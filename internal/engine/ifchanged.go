package engine

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"ingot/internal/component"
	"ingot/internal/lang"
	"ingot/internal/outcome"
	"ingot/internal/plan"
	"ingot/internal/stepcache"
)

// inputsOf is what a build depends on, as far as that can be told before it runs.
func (r *run) inputsOf(ctx context.Context, p *plan.Build, rt component.Run) (*outcome.Inputs, error) {
	in := &gathering{run: r, out: &outcome.Inputs{}}
	in.add("format", stepcache.Text("of the comparison", strconv.Itoa(outcome.Format)))
	in.add("", stepcache.Text("name of the build", p.Template.BuildName), stepcache.Text("type of the builder", p.Source.Type),
		stepcache.Text("working directory", r.o.Dir))
	if err := in.origin(ctx, p, rt); err != nil {
		return nil, err
	}
	var steps []string
	for _, s := range p.Provisioners {
		steps = append(steps, s.Addr.String())
		if err := in.provisioner(ctx, s); err != nil {
			return nil, err
		}
	}
	for _, t := range p.Tests {
		for _, s := range t.Checks {
			steps = append(steps, fmt.Sprintf("%q %s", t.Name, s.Addr))
			if err := in.check(ctx, t, s); err != nil {
				return nil, err
			}
		}
	}
	for _, chain := range p.Chains {
		for _, s := range chain {
			steps = append(steps, s.Addr.String())
			if err := in.postProcessor(ctx, s); err != nil {
				return nil, err
			}
		}
	}
	in.add("", stepcache.Text("list of steps", fmt.Sprintf("%q", steps)))
	chain := stepcache.Begin("build", in.out.Parts)
	in.out.Digest, in.out.Parts = chain.Key(), chain[0].Parts
	return in.out, nil
}

// gathering adds them up.
type gathering struct {
	*run
	out *outcome.Inputs
}

// add adds parts of something, whose name stands before theirs.
func (in *gathering) add(of string, parts ...stepcache.Part) {
	for _, p := range parts {
		if of != "" {
			p.Name = of + ": " + p.Name
		}
		in.out.Parts = append(in.out.Parts, p)
	}
}

// open notes what cannot be compared.
func (in *gathering) open(format string, args ...any) {
	in.out.Open = append(in.out.Open, fmt.Sprintf(format, args...))
}

// origin adds the configuration of the builder and what it makes the image of.
func (in *gathering) origin(ctx context.Context, p *plan.Build, rt component.Run) error {
	if p.Config == nil {
		in.open("the configuration of the builder is not known")
		return nil
	}
	if err := in.arguments("source", p.Config, nil); err != nil {
		return err
	}
	teller, ok := p.Job.(component.OriginTeller)
	if !ok {
		in.open("the builder %s does not tell what an image is made of", p.Source.Type)
		return nil
	}
	from, err := teller.Origin(ctx, rt)
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	if err != nil {
		in.open("what the image is made of cannot be told: %v", err)
		return nil
	}
	if from.Open != "" {
		in.open("the source: %s", from.Open)
	}
	for name, text := range from.Inputs {
		in.add("", stepcache.Text(name, text))
	}
	return in.files(ctx, "source", from.Files)
}

// arguments adds a configuration.
func (in *gathering) arguments(of string, cfg *lang.Config, leave []string) error {
	if why := changing(cfg.Schema, cfg.Value, leave); why != "" {
		in.open("%s: %s", of, why)
		return nil
	}
	parts, err := stepcache.Arguments(cfg.Value, cfg.Secrets, in.o.IfChanged.Secret, leave)
	if err != nil {
		in.open("%s: its configuration is not known", of)
		return nil
	}
	in.add(of, parts...)
	return nil
}

func (in *gathering) files(ctx context.Context, of string, paths []string) error {
	parts, err := stepcache.Files(ctx, paths)
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	if err != nil {
		in.open("%s: %v", of, err)
		return nil
	}
	in.add(of, parts...)
	return nil
}

func (in *gathering) provisioner(ctx context.Context, s *plan.Step) error {
	of := nth(s)
	if s.NoCache {
		in.open("%s: cache = false", of)
	}
	if s.CacheTTL > 0 && (in.out.Good == 0 || s.CacheTTL < in.out.Good) {
		in.out.Good = s.CacheTTL
	}
	in.add(of, stepcache.Text("argument continue_on_error", strconv.FormatBool(s.ContinueOnError)))
	cfg, planned := s.Compare(ctx)
	if cfg == nil {
		in.open("%s: its configuration depends on the machine (build.*) in a way that cannot be compared", of)
		return nil
	}
	reader, ok := planned.(component.InputReader)
	if !ok {
		in.open("%s: this provisioner does not say what its result depends on", of)
		return in.arguments(of, cfg, nil)
	}
	what := reader.Inputs()
	if what.Volatile != "" {
		in.open("%s: %s", of, what.Volatile)
	}
	if what.Neutral {
		return nil
	}
	if err := in.arguments(of, cfg, nil); err != nil {
		return err
	}
	return in.files(ctx, of, what.Files)
}

// check adds a check by its configuration and the files that it says it reads: the
// artifact does not depend on it.
func (in *gathering) check(ctx context.Context, t *plan.Test, s *plan.Step) error {
	of := fmt.Sprintf("test %q %s", t.Name, nth(s))
	cfg, planned := s.Compare(ctx)
	if cfg == nil {
		in.open("%s: its configuration depends on the machine (build.*) in a way that cannot be compared", of)
		return nil
	}
	if err := in.arguments(of, cfg, nil); err != nil {
		return err
	}
	if reader, ok := planned.(component.InputReader); ok {
		return in.files(ctx, of, reader.Inputs().Files)
	}
	return nil
}

// postProcessor adds a post-processor by its configuration and the files that it
// says it reads: what it did, it did to the artifact that is taken as it is.
func (in *gathering) postProcessor(ctx context.Context, s *plan.PostStep) error {
	of := fmt.Sprintf("post-processor %d.%d (%s)", s.Addr.Chain+1, s.Addr.Index+1, s.Addr.Label())
	if s.KeepInput != nil {
		in.add(of, stepcache.Text("argument keep_input_artifact", strconv.FormatBool(*s.KeepInput)))
	}
	cfg, planned := s.Compare(ctx)
	if cfg == nil {
		in.open("%s: its configuration depends on the machine (build.*) in a way that cannot be compared", of)
		return nil
	}
	if err := in.arguments(of, cfg, nil); err != nil {
		return err
	}
	if reader, ok := planned.(component.InputReader); ok {
		return in.files(ctx, of, reader.Inputs().Files)
	}
	return nil
}

// IfChanged says that a build is made only if it would give something else.
type IfChanged struct {
	// Secret makes the digests of what is sensitive.
	Secret stepcache.Secret
	// Last is what the last build of a name has made in the working directory,
	// of those that succeeded and whose inputs are known; nil when there is none.
	Last func(build string) (*outcome.Outcome, error)
}

// unchanged is what the last run has made of a build, when making it again would
// give the same; otherwise it is nil, and why says why it is made. The inputs are
// nil when they are not known.
func (r *run) unchanged(ctx context.Context, p *plan.Build, rt component.Run) (last *outcome.Outcome, now *outcome.Inputs, why string, err error) {
	if now, err = r.inputsOf(ctx, p, rt); err != nil {
		return nil, nil, "", err
	}
	if last, err = r.o.IfChanged.Last(p.Addr.String()); err != nil {
		return nil, now, fmt.Sprintf("what was built before cannot be read: %v.", err), nil
	}
	if last == nil {
		return nil, now, "no earlier build with -if-changed is remembered that succeeded here.", nil
	}
	changed := stepcache.Changes(last.Inputs.Parts, now.Parts)
	age := r.o.Clock.Now().Sub(last.At)
	switch {
	case len(changed) > 0:
		return nil, now, fmt.Sprintf("since run %s, %s.", last.Run, listed(changed)), nil
	case now.Digest != last.Inputs.Digest:
		return nil, now, fmt.Sprintf("run %s was made by another version of Ingot.", last.Run), nil
	case now.Good > 0 && age > now.Good:
		return nil, now, fmt.Sprintf("what run %s made is older than cache_ttl (%s).", last.Run, now.Good), nil
	}
	for _, a := range last.Ended.Artifacts {
		missing, err := outcome.Missing(ctx, a, last.Dir, last.Ended.Marks, r.o.Probe)
		if cause := context.Cause(ctx); cause != nil {
			return nil, now, "", cause
		}
		if err != nil {
			return nil, now, fmt.Sprintf("whether what run %s made is still there cannot be told: %v.", last.Run, err), nil
		}
		if missing != "" {
			return nil, now, fmt.Sprintf("of what run %s made, %s.", last.Run, missing), nil
		}
	}
	if len(now.Open) > 0 {
		return nil, now, fmt.Sprintf("nothing that can be compared has changed since run %s. It would be skipped but for: %s.", last.Run, listed(now.Open)), nil
	}
	return last, now, "", nil
}

// ifChanged returns the result of a build that is not made since nothing has
// changed; of others the inputs, as far as they are wanted and known, and why it is
// made.
func (r *run) ifChanged(ctx context.Context, p *plan.Build, made plan.Made, events component.Sink, begin time.Time) (*outcome.Inputs, string, *BuildResult) {
	if r.o.IfChanged == nil {
		return nil, "", nil
	}
	if p.Bind != nil {
		bound, diags := p.Bind(ctx, made)
		if diags.HasErrors() {
			return nil, "", nil // the build says so
		}
		p = bound
	}
	last, now, why, err := r.unchanged(ctx, p, r.asking(p, events))
	if err != nil {
		return nil, "", nil // the build is interrupted
	}
	if last == nil {
		return now, why, nil
	}
	res := r.skip(p, events, last, begin)
	return nil, "", &res
}

// asking is what a job may use that only tells what it depends on.
func (r *run) asking(p *plan.Build, events component.Sink) component.Run {
	o := r.o
	return component.Run{
		ID: o.RunID, Build: p.Addr, Events: events, Prompt: o.Prompt, CacheDir: o.CacheDir, Clock: o.Clock, Limits: o.Limits,
		Template: p.Template, Sensitive: o.Sensitive,
	}
}

// sameInputs are the inputs of the build when they are what they were before it.
func (b *build) sameInputs(ctx context.Context) *outcome.Inputs {
	if b.inputs == nil {
		return nil
	}
	now, err := b.inputsOf(ctx, b.plan, b.asking(b.plan, b.rt.Events))
	if err != nil {
		return nil // the build is interrupted
	}
	changed := stepcache.Changes(b.inputs.Parts, now.Parts)
	if len(changed) == 0 {
		return now
	}
	b.rt.Emit(component.Warning{
		Summary: "The next build with -if-changed will not be skipped",
		Detail:  "While this one ran, " + listed(changed) + ".",
	})
	return nil
}

// mostListed is how many things a line names.
const mostListed = 5

func listed(things []string) string {
	out := ""
	for i, t := range things {
		switch {
		case i == mostListed:
			return out + fmt.Sprintf("; and %d more", len(things)-i)
		case i > 0:
			out += "; "
		}
		out += t
	}
	return out
}

// skip ends a build whose artifact is taken as it is.
func (r *run) skip(p *plan.Build, events component.Sink, last *outcome.Outcome, begin time.Time) BuildResult {
	name := p.Addr.String()
	events.Emit(component.Message{Text: fmt.Sprintf("Nothing has changed since run %s: its artifact is taken as it is.", last.Run)})
	b := &build{run: r, plan: p, rt: component.Run{Events: events}}
	b.remember(last.Made)
	if b.made {
		end := *last.Ended
		end.Build = name
		if err := r.o.Outcomes.Ended(end); err != nil {
			b.forgotten(err)
		}
	}
	res := BuildResult{Addr: p.Addr, Artifacts: last.Ended.Artifacts, Duration: r.o.Clock.Now().Sub(begin)}
	events.Emit(component.BuildEnded{Duration: res.Duration, Artifacts: res.Artifacts, Earlier: last.Run})
	return res
}
