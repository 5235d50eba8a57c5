// Package host makes the components of Packer plugins usable as ours: each is a process
// that is started when it is needed and spoken to over packerwire.
//
// A plugin's builder builds in one call, during which it calls back for provisioning.
// Here that call is spread over the phases of a build: the callback stays parked while
// the engine provisions through the communicator that the plugin offers, so that events,
// retries, time-outs and what happens after a failure are the engine's.
package host

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"ingot/internal/component"
	"ingot/internal/plugin/packerwire"
	"ingot/internal/plugin/process"
	"ingot/internal/plugin/store"
	"ingot/internal/plugin/wirespec"
)

// DefaultGrace is how long a plugin that is told to cancel may clean up.
const DefaultGrace = 5 * time.Minute

// Plugin is what is known of a plugin and how it is to be run.
type Plugin struct {
	// Path is its program, which has been checked.
	Path string
	// Name is what messages call it.
	Name string
	// Digest is the SHA-256 of the program. With an empty one nothing that the
	// plugin says is kept for later.
	Digest      string
	Description store.Description
	Core        Core
	// Log receives the lines that its processes log outside of a build; nil drops
	// them. In a build they are events.
	Log    func(line string)
	Limits process.Limits
	// CleanEnv gives its processes only the variables that every program needs and
	// those of Packer, and those named in KeepEnv.
	CleanEnv bool
	KeepEnv  []string
	// SpecCache is a folder in which schemas are kept; empty keeps none.
	SpecCache string
	// Live holds what of plugins is alive in this process; it is shared by all of them
	// and is the reaper of their resources.
	Live *Live
	// StartTimeout is how long a process may take until it can be called, and Grace
	// how long it may clean up; 0 stands for the defaults.
	StartTimeout, Grace time.Duration
	// ForceGob starts every process without --protobuf, as PACKER_FORCE_GOB does.
	ForceGob bool
}

// Core is what every component of a plugin is told.
type Core struct {
	// Version is Packer's, as packer_core_version.
	Version string
	Debug   bool
	Force   bool
	// OnError is the value of -on-error, empty when it was not given.
	OnError string
	// SensitiveVariables are the names of variables that are secret.
	SensitiveVariables []string
}

// Provider has the components of one plugin, under the names that the plugin gives
// them. The component without a name of its own is packerwire.DefaultComponent.
type Provider struct {
	plugin   Plugin
	encoding wirespec.Encoding

	mu     sync.Mutex
	specs  map[use]*spec // guarded by mu, as all below
	idle   map[use][]*process.Process
	alive  map[*process.Process]bool
	begun  bool // builds run: processes for planning are not kept
	closed bool
}

var _ component.Provider = (*Provider)(nil)

// use names a component.
type use struct {
	kind process.Kind
	name string
}

// Use is a component of a plugin that is going to be used.
type Use struct {
	Kind process.Kind
	Name string
}

// New returns the components of a plugin. Nothing is started until one is used.
func New(p Plugin) *Provider {
	if p.Grace == 0 {
		p.Grace = DefaultGrace
	}
	if p.Live == nil {
		p.Live = NewLive()
	}
	h := &Provider{plugin: p, encoding: wirespec.Gob, specs: map[use]*spec{}, idle: map[use][]*process.Process{}, alive: map[*process.Process]bool{}}
	if p.Description.ProtocolVersion == packerwire.ProtobufProtocol && !p.ForceGob {
		h.encoding = wirespec.Protobuf
	}
	return h
}

// Manifest lists what the plugin has.
func (h *Provider) Manifest() component.Manifest {
	d := h.plugin.Description
	return component.Manifest{
		Builders: sorted(d.Builders), Provisioners: sorted(d.Provisioners),
		PostProcessors: sorted(d.PostProcessors), DataSources: sorted(d.DataSources),
	}
}

func sorted(names []string) []string { return slices.Sorted(slices.Values(names)) }

// Builder returns a builder of the plugin.
func (h *Provider) Builder(name string) component.Builder {
	if !slices.Contains(h.plugin.Description.Builders, name) {
		return nil
	}
	return &builder{part{h, use{process.Builder, name}}}
}

// Provisioner returns a provisioner of the plugin.
func (h *Provider) Provisioner(name string) component.Provisioner {
	if !slices.Contains(h.plugin.Description.Provisioners, name) {
		return nil
	}
	return &provisioner{part{h, use{process.Provisioner, name}}}
}

// PostProcessor returns a post-processor of the plugin.
func (h *Provider) PostProcessor(name string) component.PostProcessor {
	if !slices.Contains(h.plugin.Description.PostProcessors, name) {
		return nil
	}
	return &postProcessor{part{h, use{process.PostProcessor, name}}}
}

// DataSource returns a data source of the plugin.
func (h *Provider) DataSource(name string) component.DataSource {
	if !slices.Contains(h.plugin.Description.DataSources, name) {
		return nil
	}
	return &dataSource{part{h, use{process.DataSource, name}}}
}

// Warm starts the processes of components that are going to be used, side by side, and
// fetches their schemas. It need not be called: each is started when it is needed. What
// cannot be started says so again when it is used.
func (h *Provider) Warm(ctx context.Context, uses []Use) {
	var g errgroup.Group
	g.SetLimit(max(8, 2*runtime.NumCPU()))
	for _, u := range uses {
		g.Go(func() error {
			of := use{u.Kind, u.Name}
			p, err := h.start(ctx, of, nil, "", nil)
			if err != nil {
				return nil // whoever uses it is told
			}
			if _, err := h.spec(ctx, of, p); err != nil {
				_ = h.end(ctx, p) // Close tries again
				return nil
			}
			h.put(of, p)
			return nil
		})
	}
	_ = g.Wait() // there is no error in it
}

// Close ends all processes of the plugin.
func (h *Provider) Close() error {
	h.mu.Lock()
	h.closed = true
	h.idle = map[use][]*process.Process{}
	var all []*process.Process
	for p := range h.alive {
		all = append(all, p)
	}
	h.mu.Unlock()
	var g errgroup.Group
	var mu sync.Mutex
	var errs []error
	for _, p := range all {
		g.Go(func() error {
			if err := h.end(context.Background(), p); err != nil {
				mu.Lock()
				defer mu.Unlock()
				errs = append(errs, err)
			}
			return nil
		})
	}
	_ = g.Wait() // errors are in errs
	return errors.Join(errs...)
}

// start starts a process for a component. A nil journal records nothing; log, when it is
// not nil, takes the place of the plugin's own.
func (h *Provider) start(ctx context.Context, u use, journal component.Recorder, runID string, log func(string)) (*process.Process, error) {
	if log == nil {
		log = h.plugin.Log
	}
	environ := os.Environ()
	if h.plugin.CleanEnv {
		environ = process.CleanEnviron(environ, h.plugin.KeepEnv)
	}
	h.mu.Lock()
	closed := h.closed
	h.mu.Unlock()
	if closed {
		return nil, fmt.Errorf("the plugin %s is not used any more", h.plugin.Name)
	}
	p, err := process.Start(ctx, journal, process.Options{
		Path: h.plugin.Path, Name: h.plugin.Name, Kind: u.kind, Component: u.name,
		Protobuf: h.encoding == wirespec.Protobuf, Environ: environ, RunID: runID,
		Log: log, Limits: h.plugin.Limits, StartTimeout: h.plugin.StartTimeout,
	})
	if err != nil {
		return nil, err
	}
	h.mu.Lock()
	closed = h.closed
	h.alive[p] = true
	h.mu.Unlock()
	if closed {
		return nil, errors.Join(fmt.Errorf("the plugin %s is not used any more", h.plugin.Name), h.end(ctx, p))
	}
	return p, nil
}

// end ends a process.
func (h *Provider) end(ctx context.Context, p *process.Process) error {
	err := p.End(context.WithoutCancel(ctx))
	h.mu.Lock()
	delete(h.alive, p)
	h.mu.Unlock()
	return err
}

// borrow returns a process in which a configuration can be checked; put takes it back.
func (h *Provider) borrow(ctx context.Context, u use) (*process.Process, error) {
	h.mu.Lock()
	for n := len(h.idle[u]); n > 0; n = len(h.idle[u]) {
		p := h.idle[u][n-1]
		h.idle[u] = h.idle[u][:n-1]
		select {
		case <-p.Done():
			continue // Close ends what is left of it
		default:
		}
		h.mu.Unlock()
		return p, nil
	}
	h.mu.Unlock()
	return h.fresh(ctx, u)
}

// maxIdle is how many processes of a component wait to be used again.
const maxIdle = 4

func (h *Provider) put(u use, p *process.Process) {
	h.mu.Lock()
	keep := !h.begun && !h.closed && len(h.idle[u]) < maxIdle
	if keep {
		h.idle[u] = append(h.idle[u], p)
	}
	h.mu.Unlock()
	if !keep {
		_ = h.end(context.Background(), p) // Close tries again
	}
}

// begin ends the processes that were used for planning.
func (h *Provider) begin(ctx context.Context) {
	h.mu.Lock()
	h.begun = true
	var idle []*process.Process
	for _, list := range h.idle {
		idle = append(idle, list...)
	}
	h.idle = map[use][]*process.Process{}
	h.mu.Unlock()
	for _, p := range idle {
		_ = h.end(ctx, p) // Close tries again
	}
}

// building reports whether builds run.
func (h *Provider) building() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.begun
}

// part is what the components of a plugin have in common.
type part struct {
	host *Provider
	use  use
}

// inputs are what the result of each component depends on: the program.
func (h *Provider) inputs() component.Inputs {
	return component.Inputs{Files: []string{h.plugin.Path}}
}

// Load fetches the schema.
func (c part) Load(ctx context.Context) error {
	_, err := c.host.spec(ctx, c.use, nil)
	return err
}

// Schema describes the configuration as the plugin does. Load has been called before.
func (c part) Schema() component.Schema {
	s, err := c.host.spec(context.Background(), c.use, nil)
	if err != nil {
		return component.Schema{Description: err.Error()}
	}
	return s.schema
}
