package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/zclconf/go-cty/cty"

	"ingot/internal/component"
	"ingot/internal/gotmpl"
	"ingot/internal/journal"
	"ingot/internal/plan"
	"ingot/internal/stepcache"
)

// Cache says that machines are saved after each provisioner, and that builds start
// from what earlier ones have saved.
type Cache struct {
	Store *stepcache.Store
	// Secret makes the digests of what is sensitive.
	Secret stepcache.Secret
	// Explain emits CacheChecked for each provisioner.
	Explain bool
	// All saves the machine after each provisioner, whatever that takes. Without
	// it, machines are saved where it is worth the time; docs/cache.md has the rule.
	All bool
}

// cached is how far a build can be cached, and how far it was.
type cached struct {
	*build
	use *Cache
	job component.Checkpointer
	// chains has the chain before the first provisioner and those after each
	// one that can be cached; what is behind them is not, because of stop.
	chains []stepcache.Chain
	stop   string
	// from is how many provisioners are done in what the machine was started
	// from; held and base are that, then base is what was saved last.
	from int
	held *stepcache.Held
	base *component.Checkpoint
	// times are when the links were made, as far as they are.
	times []time.Time
	// done is how many provisioners are done in the machine, as far as they can
	// be cached.
	done int
	// saved is how many provisioners are done in what was saved last, or in what
	// the machine was started from.
	saved int
	// off says that nothing more is saved.
	off bool
	// worth decides what is saved. awake says that a machine that is started from
	// a checkpoint need not boot. edited is the first provisioner that is another
	// one than the last time, -1 when none is.
	worth  worth
	awake  bool
	edited int
	// unfit are the keys of checkpoints of others that cannot be used here.
	unfit map[string]bool
}

// openCache works out the keys of a build whose job is prepared. It returns nil
// when the build cannot be cached, having said why.
func (b *build) openCache(ctx context.Context) (*cached, error) {
	if b.o.Cache == nil {
		return nil, nil
	}
	job, ok := b.plan.Job.(component.Checkpointer)
	if !ok {
		b.uncached(b.cannotSave())
		return nil, nil
	}
	c := &cached{build: b, use: b.o.Cache, job: job, edited: -1, unfit: map[string]bool{}}
	c.worth = worth{clock: b.o.Clock, all: c.use.All, began: b.o.Clock.Now()}
	state, err := job.BaseState(ctx, b.rt)
	if err != nil {
		return nil, fmt.Errorf("step cache: %w", err)
	}
	if state.Volatile != "" {
		b.uncached("what the machine is cannot be saved as a whole: " + state.Volatile)
		return nil, nil
	}
	first, why, err := c.begin(ctx, state)
	if err != nil {
		return nil, err
	}
	if why != "" {
		b.uncached("what the machine is made of cannot be compared: " + why)
		return nil, nil
	}
	c.awake = state.Awake
	c.chains, c.times = []stepcache.Chain{first}, []time.Time{b.o.Clock.Now().UTC()}
	for _, step := range b.plan.Provisioners {
		next, why := c.next(ctx, c.chains[len(c.chains)-1], step)
		if why != "" {
			c.stop = why
			break
		}
		c.chains = append(c.chains, next)
	}
	if err := c.study(); err != nil {
		return nil, err
	}
	return c, context.Cause(ctx)
}

// study learns from what is in the store.
func (c *cached) study() error {
	entries, err := c.use.Store.ListAll()
	if err != nil {
		return err
	}
	c.worth.learn(entries, c.plan.Addr.String(), c.plan.Source.Type)
	link, err := c.use.Store.Remember(c.plan.Addr.String(), c.chains[len(c.chains)-1])
	if err != nil || link == 0 {
		return err
	}
	// Neutral steps have no link of their own.
	for i, chain := range c.chains[1:] {
		if len(chain) == link+1 {
			c.edited = i
			break
		}
	}
	return nil
}

func (b *build) uncached(why string) {
	b.notCached = why
	summary := "The step cache is not used for this build"
	if b.o.Earlier != nil {
		summary = "This build starts from the beginning"
	}
	b.rt.Emit(component.Warning{Summary: summary, Detail: strings.ToUpper(why[:1]) + why[1:] + "."})
}

// begin is the chain of the machine before its first provisioner.
func (c *cached) begin(ctx context.Context, state component.BaseState) (stepcache.Chain, string, error) {
	p := c.plan
	if p.Config == nil {
		return nil, "its configuration is not known", nil
	}
	if why := changing(p.Config.Schema, p.Config.Value, state.Later); why != "" {
		return nil, why, nil
	}
	parts, err := stepcache.Arguments(p.Config.Value, p.Config.Secrets, c.use.Secret, state.Later)
	if err != nil {
		return nil, "its configuration is not known", nil
	}
	files, err := stepcache.Files(ctx, state.Files)
	if err != nil {
		return nil, "", fmt.Errorf("step cache: %w", err)
	}
	parts = append(parts, files...)
	for name, text := range state.Inputs {
		parts = append(parts, stepcache.Text(name, text))
	}
	// Scripts are given the names in their environment.
	parts = append(parts, stepcache.Text("name of the build", p.Template.BuildName), stepcache.Text("type of the builder", p.Template.BuildType))
	return stepcache.Begin(p.Source.Type, parts), "", nil
}

// next is the chain after a step, or why it has none.
func (c *cached) next(ctx context.Context, before stepcache.Chain, step *plan.Step) (stepcache.Chain, string) {
	switch {
	case step.NoCache:
		return nil, "cache = false"
	case step.UsesFacts:
		return nil, "its configuration depends on the machine (build.*)"
	}
	in, ok := step.Planned.(component.InputReader)
	if !ok {
		return nil, "the provisioner " + step.Addr.Type + " does not say what its result depends on"
	}
	inputs := in.Inputs()
	switch {
	case inputs.Volatile != "":
		return nil, inputs.Volatile
	case inputs.Neutral:
		return before, ""
	case step.Config == nil:
		return nil, "its configuration is not known"
	}
	if why := changing(step.Config.Schema, step.Config.Value, nil); why != "" {
		return nil, why
	}
	parts, err := stepcache.Arguments(step.Config.Value, step.Config.Secrets, c.use.Secret, nil)
	if err != nil {
		return nil, "its configuration is not known"
	}
	files, err := stepcache.Files(ctx, inputs.Files)
	if err != nil {
		return nil, err.Error()
	}
	return before.Next(step.Addr.Type, append(parts, files...)), ""
}

// changing says which argument is another in each run, because of an action that
// is evaluated late.
func changing(schema component.Schema, cfg cty.Value, leave []string) string {
	if cfg.IsNull() || !cfg.IsKnown() {
		return ""
	}
	for _, a := range schema.Attributes {
		if !a.Late || slices.Contains(leave, a.Name) || !cfg.Type().HasAttribute(a.Name) {
			continue
		}
		found := ""
		// Walk fails only when its callback does.
		_ = cty.Walk(cfg.GetAttr(a.Name), func(_ cty.Path, v cty.Value) (bool, error) {
			if v.Type() == cty.String && v.IsKnown() && !v.IsNull() && found == "" {
				found = gotmpl.Changing(v.AsString())
			}
			return true, nil
		})
		if found != "" {
			return fmt.Sprintf("the argument %s uses {{%s}}", a.Name, found)
		}
	}
	return ""
}

// neutral reports whether a step leaves the machine what it was.
func (c *cached) neutral(i int) bool {
	return i+1 < len(c.chains) && c.chains[i+1].Key() == c.chains[i].Key()
}

// boot starts the machine from the best checkpoint that there is, or anew.
func (c *cached) boot(ctx context.Context) (component.Machine, error) {
	for {
		if err := c.find(ctx); err != nil {
			return nil, err
		}
		if c.use.Explain {
			if err := c.explain(); err != nil {
				return nil, err
			}
		}
		if err := c.tellResumed(); err != nil {
			return nil, err
		}
		c.worth.since = c.o.Clock.Now()
		if c.held == nil {
			return c.plan.Job.Boot(ctx, c.rt)
		}
		e := c.held.Entry
		m, err := c.job.Resume(ctx, c.rt, c.held.Checkpoint)
		if !errors.Is(err, component.ErrCheckpointGone) {
			if err == nil {
				c.rt.Say(fmt.Sprintf("Starting from the step cache, after %d of %d provisioners.", c.from, len(c.plan.Provisioners)))
			}
			return m, err
		}
		if err := c.forget(ctx, e); err != nil {
			return nil, err
		}
	}
}

// find takes the checkpoint with the most provisioners into use.
func (c *cached) find(ctx context.Context) error {
	for i := len(c.chains) - 1; i > 0; i-- {
		if c.neutral(i-1) || c.unfit[c.chains[i].Key()] {
			continue // there is nothing to save after it, or it cannot be used
		}
		held, err := c.use.Store.Open(c.chains[i].Key())
		if err != nil {
			return err
		}
		if held == nil {
			continue
		}
		if c.expired(held.Entry, i) != "" {
			if err := held.Close(); err != nil {
				return err
			}
			continue
		}
		c.held = held
		there, err := c.job.HasCheckpoint(ctx, held.Checkpoint)
		if err != nil {
			return err
		}
		if !there {
			if err := c.forget(ctx, held.Entry); err != nil {
				return err
			}
			continue
		}
		c.from, c.saved, c.base = i, i, &held.Checkpoint
		c.times = slices.Clone(held.Entry.Times)
		return nil
	}
	return nil
}

// forget removes an entry that is in use by this build and cannot be used.
func (c *cached) forget(ctx context.Context, e stepcache.Entry) error {
	err := c.close()
	c.from, c.saved, c.base = 0, 0, nil
	if !c.use.Store.Owns(e) {
		c.unfit[e.Key()] = true
		return err
	}
	if dropErr := c.use.Store.Drop(ctx, e); dropErr != nil && !errors.Is(dropErr, stepcache.ErrInUse) {
		err = errors.Join(err, dropErr)
	}
	return err
}

// expired names the first step among those in an entry whose result is older than
// its cache_ttl; "" when none is.
func (c *cached) expired(e stepcache.Entry, upTo int) string {
	link := 0
	for i, step := range c.plan.Provisioners[:upTo] {
		if c.neutral(i) {
			continue
		}
		link++
		if step.CacheTTL > 0 && link < len(e.Times) && c.o.Clock.Now().Sub(e.Times[link]) > step.CacheTTL {
			return nth(step)
		}
	}
	return ""
}

// nth is a step as people count: "provisioner 1 (shell)".
func nth(s *plan.Step) string {
	return fmt.Sprintf("%s %d (%s)", s.Addr.Kind, s.Addr.Index+1, s.Addr.Label())
}

// skips reports whether provisioner i is done already.
func (c *cached) skips(i int) bool { return c != nil && i < c.from }

// entries are what is in the store, and by their keys what of that can be used.
func (c *cached) entries() ([]stepcache.Entry, map[string]stepcache.Entry, error) {
	entries, err := c.use.Store.ListAll()
	known := map[string]stepcache.Entry{}
	for _, e := range entries {
		if e.Damage == "" {
			known[e.Key()] = e
		}
	}
	return entries, known, err
}

// explain says for each provisioner whether its result is used again.
func (c *cached) explain() error {
	entries, known, err := c.entries()
	if err != nil {
		return err
	}
	missed := ""
	for i, step := range c.plan.Provisioners {
		e := component.CacheChecked{Hit: i < c.from}
		switch {
		case e.Hit && c.neutral(i):
			e.Why = "it leaves nothing on the machine"
		case e.Hit:
		case missed != "":
			e.Why = "it comes after " + missed
		default:
			if e.Why = c.whyMissed(i, entries, known); e.Why != stepcache.NotSaved {
				missed = nth(step)
			}
		}
		if i >= c.from && c.neutral(i) && (missed == nth(step) || missed == "") {
			// It runs because what comes next does.
			e.Why, missed = "it leaves nothing on the machine, and what comes after it is not cached", ""
		}
		c.inStep(step.Addr).Emit(e)
	}
	return nil
}

func (c *cached) whyMissed(i int, entries []stepcache.Entry, known map[string]stepcache.Entry) string {
	if i+1 >= len(c.chains) {
		return c.stop
	}
	if e, ok := known[c.chains[i+1].Key()]; ok {
		if old := c.expired(e, i+1); old != "" {
			return "the result of " + old + " is older than its cache_ttl"
		}
	}
	usable := slices.DeleteFunc(slices.Clone(entries), func(e stepcache.Entry) bool { return e.Damage != "" })
	return stepcache.Explain(c.chains[i+1], c.plan.Addr.String(), usable)
}

// save saves the machine after provisioner i. That it fails is no reason to fail
// the build.
func (c *cached) save(ctx context.Context, i int, clean bool, m component.Machine) error {
	switch {
	case c == nil || c.off:
		return nil
	case !clean || i+1 >= len(c.chains):
		c.off = true // whatever comes after it depends on it
		return nil
	case c.neutral(i):
		return nil
	}
	saver, ok := m.(component.Saver)
	if !ok {
		c.off = true
		return nil
	}
	step := c.plan.Provisioners[i]
	now, why := c.next(ctx, c.chains[i], step)
	if err := context.Cause(ctx); err != nil {
		return err
	}
	if why != "" || now.Key() != c.chains[i+1].Key() {
		c.off = true
		c.inStep(step.Addr).Emit(component.Warning{
			Summary: "The result of " + nth(step) + " is not cached",
			Detail:  "What it reads was changed while the build ran.",
		})
		return nil
	}
	c.times, c.done = append(c.times, c.o.Clock.Now().UTC()), i+1
	if !c.wanted(i) {
		return nil
	}
	if err := c.store(ctx, c.chains[i+1], saver); err == nil {
		c.saved = i + 1
	} else {
		c.off = true
		if cause := context.Cause(ctx); cause != nil {
			return cause
		}
		c.inStep(step.Addr).Emit(component.Warning{Summary: "The step cache could not save the machine", Detail: err.Error() + ". The build goes on without it."})
	}
	return nil
}

// wake tells a machine that was resumed that time has passed.
func (c *cached) wake(ctx context.Context, m component.Machine, comm component.Communicator) error {
	w, ok := m.(component.Waker)
	if c == nil || c.from == 0 || !ok {
		return nil
	}
	err := w.Wake(ctx, c.rt, comm)
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	if err != nil {
		c.rt.Emit(component.Warning{Summary: "The clock of the machine is slow", Detail: err.Error() + "."})
	}
	return nil
}

// started is called when the first provisioner is about to run.
func (c *cached) started() {
	if c != nil && (!c.awake || c.from > 0) {
		// What comes before takes its time in each build.
		c.worth.since = c.o.Clock.Now()
	}
}

// wanted reports whether the machine is to be saved after provisioner i.
func (c *cached) wanted(i int) bool {
	after := i + 1
	for after < len(c.plan.Provisioners) && c.neutral(after) {
		after++
	}
	if after == c.edited || c.use.Store.Wanted(c.chains[i+1].Key()) {
		return true // it is being worked on
	}
	return c.worth.ask(c.last(i))
}

// last reports whether provisioner i is the one before the last, or the last one
// of which the result is used again.
func (c *cached) last(i int) bool {
	own := 0 // links that come after it
	for k := i + 1; k+1 < len(c.chains); k++ {
		if !c.neutral(k) {
			own++
		}
	}
	if len(c.chains) <= len(c.plan.Provisioners) {
		return own == 0
	}
	return own == 1
}

// failed is called when provisioner i has failed. The machine before it is lost;
// the next build that comes this far saves it.
func (c *cached) failed(i int) {
	if c == nil || c.off || i == 0 || i >= len(c.chains) || len(c.chains[i]) == 1 || c.base != nil && c.base.Key == c.chains[i].Key() {
		return
	}
	if err := c.use.Store.Want(c.chains[i].Key()); err != nil {
		c.rt.Emit(component.Trace{Text: err.Error()})
	}
}

func (c *cached) store(ctx context.Context, chain stepcache.Chain, saver component.Saver) (err error) {
	begin := c.o.Clock.Now()
	defer func() { c.worth.saved(begin) }()
	draft, err := c.use.Store.Begin(ctx, c.rt.Journal, journal.NewToken())
	if err != nil {
		return err
	}
	saved, err := saver.SaveCheckpoint(ctx, c.rt, component.CheckpointPlace{Key: chain.Key(), Dir: draft.Dir(), Base: c.base})
	if err != nil {
		return errors.Join(err, draft.Discard(context.WithoutCancel(ctx)))
	}
	e := stepcache.Entry{
		Build: c.plan.Addr.String(), Builder: c.plan.Source.Type, Chain: chain, Times: slices.Clone(c.times), Data: saved.Data, Size: saved.Size,
		Took: c.o.Clock.Now().Sub(begin),
	}
	if saved.OnBase && c.base != nil {
		e.Base = c.base.Key
	}
	published, err := draft.Publish(ctx, e, saved.Leases)
	if err != nil {
		return err
	}
	if !published {
		// Another build was first. What this one has saved is released at its
		// end, since the machine may stand on it, and nothing can be on top.
		c.off = saved.OnBase
		return nil
	}
	held, err := c.use.Store.Open(chain.Key())
	if err != nil || held == nil {
		c.off = saved.OnBase // it was removed at once: the limit is too small
		return err
	}
	err = c.close()
	c.held, c.base = held, &held.Checkpoint
	return errors.Join(err, c.use.Store.Shrink(ctx))
}

// close gives up what is in use.
func (c *cached) close() error {
	if c == nil || c.held == nil {
		return nil
	}
	held := c.held
	c.held = nil
	return held.Close()
}
