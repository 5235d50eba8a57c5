package packerwire

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// The names of the services that a plugin serves as its main one.
const (
	builderService       = "Builder"
	provisionerService   = "Provisioner"
	postProcessorService = "PostProcessor"
	dataSourceService    = "Datasource"
)

type configSpec struct{ ConfigSpec []byte }

type outputSpec struct{ OutputSpec []byte }

type configs struct{ Configs Values }

// Prepared is what a builder says of its configuration.
type Prepared struct {
	// GeneratedVars are names of values that the machine will have.
	GeneratedVars []string
	Warnings      []string
}

type prepareReply struct {
	GeneratedVars []string
	Warnings      []string
	Error         *textError
}

// Builder calls a builder of the peer.
type Builder struct{ *Caller }

// ConfigSpec returns the builder's schema as bytes.
func (b Builder) ConfigSpec(ctx context.Context) ([]byte, error) {
	return b.spec(ctx, builderService)
}

// Prepare checks a configuration; an error says what is wrong with it.
func (b Builder) Prepare(ctx context.Context, list []any) (Prepared, error) {
	var r prepareReply
	err := b.Call(ctx, builderService+".Prepare", configs{list}, &r)
	if err == nil {
		err = r.Error.error()
	}
	return Prepared{r.GeneratedVars, r.Warnings}, err
}

// Run builds. The builder finds Ui and Hook on the stream of that number. The result
// is the number of the artifact's stream, 0 for none, to be dialed at once. See
// Caller.CallCancel for the end of ctx.
func (b Builder) Run(ctx context.Context, stream uint32, grace time.Duration, waiting func()) (uint32, error) {
	var artifact uint32
	err := b.CallCancel(ctx, builderService+".Run", builderService+".Cancel", stream, &artifact, grace, waiting)
	return artifact, err
}

// Provisioner calls a provisioner of the peer.
type Provisioner struct{ *Caller }

// ConfigSpec returns the provisioner's schema as bytes.
func (p Provisioner) ConfigSpec(ctx context.Context) ([]byte, error) {
	return p.spec(ctx, provisionerService)
}

// Prepare checks a configuration; an error says what is wrong with it.
func (p Provisioner) Prepare(ctx context.Context, list []any) error {
	return p.Call(ctx, provisionerService+".Prepare", configs{list}, nil)
}

type provisionArgs struct {
	GeneratedData Value
	StreamID      uint32
}

// Provision does the work. The provisioner finds Communicator and Ui on the stream of
// that number; data are the values of the machine.
func (p Provisioner) Provision(ctx context.Context, data map[string]any, stream uint32, grace time.Duration, waiting func()) error {
	args := provisionArgs{Value{data}, stream}
	return p.CallCancel(ctx, provisionerService+".Provision", provisionerService+".Cancel", args, nil, grace, waiting)
}

// PostProcessor calls a post-processor of the peer.
type PostProcessor struct{ *Caller }

// ConfigSpec returns the post-processor's schema as bytes.
func (p PostProcessor) ConfigSpec(ctx context.Context) ([]byte, error) {
	return p.spec(ctx, postProcessorService)
}

// Configure checks a configuration; an error says what is wrong with it.
func (p PostProcessor) Configure(ctx context.Context, list []any) error {
	return p.Call(ctx, postProcessorService+".Configure", configs{list}, nil)
}

// Processed is what a post-processor made.
type Processed struct {
	// Stream is the number of the new artifact's stream, 0 for none, to be dialed
	// at once.
	Stream uint32
	// Keep says that the input is to be kept unless the user has said otherwise,
	// and with ForceOverride also then.
	Keep, ForceOverride bool
}

type processReply struct {
	Err           *textError
	Keep          bool
	ForceOverride bool
	StreamId      uint32
}

// PostProcess does the work. The post-processor finds Artifact and Ui on the stream of
// that number.
func (p PostProcessor) PostProcess(ctx context.Context, stream uint32, grace time.Duration, waiting func()) (Processed, error) {
	var r processReply
	err := p.CallCancel(ctx, postProcessorService+".PostProcess", postProcessorService+".Cancel", stream, &r, grace, waiting)
	if err == nil {
		err = r.Err.error()
	}
	return Processed{r.StreamId, r.Keep, r.ForceOverride}, err
}

// DataSource calls a data source of the peer.
type DataSource struct{ *Caller }

// ConfigSpec returns the data source's schema as bytes.
func (d DataSource) ConfigSpec(ctx context.Context) ([]byte, error) {
	return d.spec(ctx, dataSourceService)
}

// OutputSpec returns the schema of its result as bytes.
func (d DataSource) OutputSpec(ctx context.Context) ([]byte, error) {
	var r outputSpec
	err := d.Call(ctx, dataSourceService+".OutputSpec", nil, &r)
	return r.OutputSpec, err
}

type errorReply struct{ Error *textError }

// Configure checks a configuration; an error says what is wrong with it.
func (d DataSource) Configure(ctx context.Context, list []any) error {
	var r errorReply
	err := d.Call(ctx, dataSourceService+".Configure", configs{list}, &r)
	if err == nil {
		err = r.Error.error()
	}
	return err
}

type executeReply struct {
	Value []byte
	Error *textError
}

// Execute reads the data and returns the value as bytes.
func (d DataSource) Execute(ctx context.Context) ([]byte, error) {
	var r executeReply
	err := d.Call(ctx, dataSourceService+".Execute", nil, &r)
	if err == nil {
		err = r.Error.error()
	}
	return r.Value, err
}

func (c *Caller) spec(ctx context.Context, service string) ([]byte, error) {
	var r configSpec
	err := c.Call(ctx, service+".ConfigSpec", nil, &r)
	return r.ConfigSpec, err
}

// BuilderServer is a builder that a plugin serves. See Builder for the meaning of the
// methods; ctx of Run ends when the host calls Cancel.
type BuilderServer interface {
	ConfigSpec(ctx context.Context) ([]byte, error)
	Prepare(ctx context.Context, configs []any) (Prepared, error)
	Run(ctx context.Context, stream uint32) (artifact uint32, err error)
}

// ServeBuilder returns the services of a plugin for a builder.
func ServeBuilder(b BuilderServer) Services {
	return Services{builderService: &builderServer{b: b}}
}

type builderServer struct {
	b BuilderServer
	pending
}

func (s *builderServer) Call(ctx context.Context, method string, arg Argument) (any, error) {
	switch method {
	case "ConfigSpec":
		spec, err := s.b.ConfigSpec(ctx)
		return configSpec{spec}, err
	case "Prepare":
		var a configs
		if err := arg(&a); err != nil {
			return nil, err
		}
		p, err := s.b.Prepare(ctx, a.Configs)
		return prepareReply{p.GeneratedVars, p.Warnings, nested(err)}, nil
	case "Run":
		var stream uint32
		if err := arg(&stream); err != nil {
			return nil, err
		}
		ctx, end := s.begin(ctx)
		defer end()
		return s.b.Run(ctx, stream)
	case "Cancel":
		s.cancel()
		return nil, nil
	}
	return nil, ErrNoMethod
}

// ProvisionerServer is a provisioner that a plugin serves; see Provisioner.
type ProvisionerServer interface {
	ConfigSpec(ctx context.Context) ([]byte, error)
	Prepare(ctx context.Context, configs []any) error
	Provision(ctx context.Context, data map[string]any, stream uint32) error
}

// ServeProvisioner returns the services of a plugin for a provisioner.
func ServeProvisioner(p ProvisionerServer) Services {
	return Services{provisionerService: &provisionerServer{p: p}}
}

type provisionerServer struct {
	p ProvisionerServer
	pending
}

func (s *provisionerServer) Call(ctx context.Context, method string, arg Argument) (any, error) {
	switch method {
	case "ConfigSpec":
		spec, err := s.p.ConfigSpec(ctx)
		return configSpec{spec}, err
	case "Prepare":
		var a configs
		if err := arg(&a); err != nil {
			return nil, err
		}
		return nil, s.p.Prepare(ctx, a.Configs)
	case "Provision":
		var a provisionArgs
		if err := arg(&a); err != nil {
			return nil, err
		}
		data, err := asMap(a.GeneratedData.Any)
		if err != nil {
			return nil, fmt.Errorf("the generated data: %w", err)
		}
		ctx, end := s.begin(ctx)
		defer end()
		return nil, s.p.Provision(ctx, data, a.StreamID)
	case "Cancel":
		s.cancel()
		return nil, nil
	}
	return nil, ErrNoMethod
}

// PostProcessorServer is a post-processor that a plugin serves; see PostProcessor.
type PostProcessorServer interface {
	ConfigSpec(ctx context.Context) ([]byte, error)
	Configure(ctx context.Context, configs []any) error
	PostProcess(ctx context.Context, stream uint32) (Processed, error)
}

// ServePostProcessor returns the services of a plugin for a post-processor.
func ServePostProcessor(p PostProcessorServer) Services {
	return Services{postProcessorService: &postProcessorServer{p: p}}
}

type postProcessorServer struct {
	p PostProcessorServer
	pending
}

func (s *postProcessorServer) Call(ctx context.Context, method string, arg Argument) (any, error) {
	switch method {
	case "ConfigSpec":
		spec, err := s.p.ConfigSpec(ctx)
		return configSpec{spec}, err
	case "Configure":
		var a configs
		if err := arg(&a); err != nil {
			return nil, err
		}
		return nil, s.p.Configure(ctx, a.Configs)
	case "PostProcess":
		var stream uint32
		if err := arg(&stream); err != nil {
			return nil, err
		}
		ctx, end := s.begin(ctx)
		defer end()
		r, err := s.p.PostProcess(ctx, stream)
		return processReply{nested(err), r.Keep, r.ForceOverride, r.Stream}, nil
	case "Cancel":
		s.cancel()
		return nil, nil
	}
	return nil, ErrNoMethod
}

// DataSourceServer is a data source that a plugin serves; see DataSource.
type DataSourceServer interface {
	ConfigSpec(ctx context.Context) ([]byte, error)
	OutputSpec(ctx context.Context) ([]byte, error)
	Configure(ctx context.Context, configs []any) error
	Execute(ctx context.Context) ([]byte, error)
}

// ServeDataSource returns the services of a plugin for a data source.
func ServeDataSource(d DataSourceServer) Services {
	return Services{dataSourceService: &dataSourceServer{d: d}}
}

type dataSourceServer struct {
	d DataSourceServer
	pending
}

func (s *dataSourceServer) Call(ctx context.Context, method string, arg Argument) (any, error) {
	switch method {
	case "ConfigSpec":
		spec, err := s.d.ConfigSpec(ctx)
		return configSpec{spec}, err
	case "OutputSpec":
		spec, err := s.d.OutputSpec(ctx)
		return outputSpec{spec}, err
	case "Configure":
		var a configs
		if err := arg(&a); err != nil {
			return nil, err
		}
		return errorReply{}, s.d.Configure(ctx, a.Configs)
	case "Execute":
		ctx, end := s.begin(ctx)
		defer end()
		value, err := s.d.Execute(ctx)
		return executeReply{Value: value}, err
	case "Cancel":
		s.cancel()
		return nil, nil
	}
	return nil, ErrNoMethod
}

// IsRemote reports whether err is what the other side answered, in contrast to an
// answer that did not come.
func IsRemote(err error) bool { return errors.As(err, new(*RemoteError)) }
