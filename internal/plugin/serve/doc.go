// Package serve is this program as a plugin of Packer: our builders, provisioners,
// post-processors and data sources behind the plugin protocol.
//
// A component that is served runs as it does in a build of ours, through the engine:
// what it makes is journaled, its secrets are masked, and what it holds is released
// before the answer is sent, since the host may kill the process right after. When the
// host vanishes, running work is cancelled and cleaned up.
package serve

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"ingot/internal/component"
	"ingot/internal/journal"
	"ingot/internal/plugin/packerwire"
	"ingot/internal/plugin/store"
	"ingot/internal/plugin/wirespec"
)

// Options are what serving needs of the program.
type Options struct {
	Components component.Provider
	// Version of the plugin, such as "1.2.0" or "1.2.0-dev".
	Version string
	// CoreVersion is the version of Packer whose templates are understood.
	CoreVersion string
	Dialers     map[string]component.Dialer
	Reapers     journal.Reapers
	// OpenJournal begins a run; what it returns ends it again.
	OpenJournal func(ctx context.Context) (Journal, error)
	// Terminal reports whether standard input, which is that of the host, is
	// one: then questions can be asked through the host.
	Terminal bool
	Home     string
	TempDir  string
	CacheDir string
	// ReportDir is where machines save what explains a failure, in a folder for
	// each run.
	ReportDir string
	Getenv    func(string) string
	// Out gets the description or the handshake, and nothing else. Err is the
	// log of the host.
	Out, Err io.Writer
	// IgnoreSignals is called when the host is connected: from then on it is the
	// host that says when to stop.
	IgnoreSignals func()
}

// Journal is an open journal of one run.
type Journal struct {
	// RunID is the run's id, unless the host has given one.
	RunID  string
	Ledger *journal.Ledger
	Close  func(ctx context.Context) error
}

// Main answers one command line of a plugin, without the name of the program:
// "describe", or "start KIND [--protobuf] NAME". It returns when the host is gone.
func Main(ctx context.Context, args []string, o Options) error {
	switch {
	case len(args) == 1 && args[0] == "describe":
		return describe(o)
	case len(args) > 0 && args[0] == "start":
		return start(ctx, args[1:], o)
	case len(args) == 0:
		return errors.New("this is a plugin of Packer: put it into Packer's plugin folder (docs/plugins.md); the host calls it with describe or start")
	}
	return fmt.Errorf("a plugin is called with describe, or with start, a kind and the name of a component, not with %q", strings.Join(args, " "))
}

// sdkVersion is the version of the plugin kit whose protocol this is. Hosts show it
// and do nothing else with it.
const sdkVersion = "0.6.10"

func describe(o Options) error {
	d := store.Description{
		Version: o.Version, SDKVersion: sdkVersion, ProtocolVersion: packerwire.ProtobufProtocol, APIVersion: store.HostAPI().String(),
	}
	m := o.Components.Manifest()
	d.Builders = servable(m.Builders, func(name string) error { return wirespec.Sendable(o.Components.Builder(name).Schema()) })
	d.Provisioners = servable(m.Provisioners, func(name string) error { return wirespec.Sendable(o.Components.Provisioner(name).Schema()) })
	d.PostProcessors = servable(m.PostProcessors, func(name string) error { return wirespec.Sendable(o.Components.PostProcessor(name).Schema()) })
	d.DataSources = servable(m.DataSources, func(name string) error { return sendableSource(o.Components.DataSource(name)) })
	text, err := json.Marshal(d)
	if err != nil {
		return fmt.Errorf("describe the plugin: %w", err)
	}
	_, err = fmt.Fprintf(o.Out, "%s\n", text)
	return err
}

// servable leaves out the components that the protocol cannot carry. The list is
// never nil, since hosts want [].
func servable(names []string, check func(string) error) []string {
	out := []string{}
	for _, name := range names {
		if check(name) == nil {
			out = append(out, name)
		}
	}
	return out
}

func sendableSource(d component.DataSource) error {
	if err := wirespec.Sendable(d.Schema()); err != nil {
		return err
	}
	result, err := wirespec.SchemaOf(d.Result())
	if err != nil {
		return fmt.Errorf("its result: %w", err)
	}
	return wirespec.Sendable(result)
}

// start serves one component until the host is gone.
func start(ctx context.Context, args []string, o Options) error {
	enc := wirespec.Gob
	if i := slices.Index(args, packerwire.ProtobufFlag); i >= 0 {
		enc = wirespec.Protobuf
		args = slices.Delete(slices.Clone(args), i, i+1)
	}
	if len(args) != 2 {
		return fmt.Errorf("start needs a kind (builder, provisioner, post-processor or datasource) and the name of a component, not %q", strings.Join(args, " "))
	}
	if o.Getenv(packerwire.CookieVariable) != packerwire.CookieValue {
		return errors.New("this is a plugin: a host such as Packer starts it, it cannot be run by hand")
	}
	p := &plugin{Options: o, enc: enc, began: time.Now()}
	services, err := p.services(args[0], args[1])
	if err != nil {
		return err
	}
	conn, err := accept(ctx, o)
	if err != nil {
		return err
	}
	if o.IgnoreSignals != nil {
		o.IgnoreSignals()
	}
	return p.serve(ctx, services, conn)
}

// serve answers a host until it is gone and everything has come to its end.
func (p *plugin) serve(ctx context.Context, services packerwire.Services, conn net.Conn) (err error) {
	if p.conn, err = packerwire.NewServer(conn, p.Err); err != nil {
		return errors.Join(err, conn.Close())
	}
	err = services.ServeOn(ctx, p.conn, 0)
	err = errors.Join(err, p.conn.Close())
	p.offers.Wait()
	return err
}

// plugin is the process while a host is connected.
type plugin struct {
	Options
	enc  wirespec.Encoding
	conn *packerwire.Conn
	// began is what templates see as the start of the run.
	began time.Time
	// offers are the artifacts that are served.
	offers sync.WaitGroup
}

// services are those of the component of a kind and name.
func (p *plugin) services(kind, name string) (packerwire.Services, error) {
	var found bool
	var check error
	var out packerwire.Services
	switch kind {
	case "builder":
		if c := p.Components.Builder(name); c != nil {
			found, check = true, wirespec.Sendable(c.Schema())
			out = packerwire.ServeBuilder(&builder{newServed(p, kind, name, c.Schema(), c.Plan)})
		}
	case "provisioner":
		if c := p.Components.Provisioner(name); c != nil {
			found, check = true, wirespec.Sendable(c.Schema())
			out = packerwire.ServeProvisioner(&provisioner{newServed(p, kind, name, c.Schema(), c.Plan)})
		}
	case "post-processor":
		if c := p.Components.PostProcessor(name); c != nil {
			found, check = true, wirespec.Sendable(c.Schema())
			out = packerwire.ServePostProcessor(&postProcessor{newServed(p, kind, name, c.Schema(), c.Plan)})
		}
	case "datasource":
		if c := p.Components.DataSource(name); c != nil {
			found, check = true, sendableSource(c)
			out = packerwire.ServeDataSource(newDataSource(p, name, c))
		}
	default:
		return nil, fmt.Errorf("%q is not a kind of component; there are builder, provisioner, post-processor and datasource", kind)
	}
	switch {
	case !found:
		return nil, fmt.Errorf("there is no %s %q in this plugin; `describe` lists what is", kind, name)
	case check != nil:
		return nil, fmt.Errorf("the %s %q cannot be used as a plugin: %w", kind, name, check)
	}
	return out, nil
}

// reap removes what belongs to an artifact.
func (p *plugin) reap(ctx context.Context, r component.Resource) error { return p.Reapers.Reap(ctx, r) }
