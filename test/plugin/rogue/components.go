//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/zclconf/go-cty/cty"

	"ingot/internal/component"
	"ingot/internal/plugin/packerwire"
	"ingot/internal/plugin/wirespec"
)

// invalid is text that is no UTF-8.
const invalid = "bad \xff\xfe text"

func (r *rogue) services() packerwire.Services {
	switch r.kind {
	case "builder":
		return packerwire.ServeBuilder(builder{r})
	case "provisioner":
		return packerwire.ServeProvisioner(provisioner{r})
	case "post-processor":
		return packerwire.ServePostProcessor(postProcessor{r})
	}
	return packerwire.ServeDataSource(dataSource{r})
}

func (r *rogue) spec(ctx context.Context, service string) ([]byte, error) {
	r.at(ctx, service+".ConfigSpec")
	if r.word == "nospec" {
		return []byte("\xff\xff\xff"), nil
	}
	return wirespec.Protobuf.EncodeSchema(component.Schema{Attributes: []component.Attribute{{Name: "x", Type: cty.String}}})
}

type builder struct{ r *rogue }

func (b builder) ConfigSpec(ctx context.Context) ([]byte, error) { return b.r.spec(ctx, "Builder") }

func (b builder) Prepare(ctx context.Context, _ []any) (packerwire.Prepared, error) {
	b.r.at(ctx, "Builder.Prepare")
	if b.r.word == "utf8" {
		return packerwire.Prepared{GeneratedVars: []string{"Odd"}, Warnings: []string{invalid}}, nil
	}
	return packerwire.Prepared{}, nil
}

// Run offers a machine, which is this one, and makes an artifact.
func (b builder) Run(ctx context.Context, id uint32) (uint32, error) {
	r := b.r
	r.at(ctx, "Builder.Run")
	stream, err := r.conn.Dial(ctx, id)
	if err != nil {
		return 0, err
	}
	caller := packerwire.NewCaller(stream)
	defer caller.Close()
	ui := packerwire.UI{Caller: caller}
	switch r.word {
	case "flood":
		if err := r.flood(ctx, ui); err != nil {
			return 0, err
		}
	case "utf8":
		if err := errors.Join(ui.Say(ctx, invalid), ui.Error(ctx, invalid), ui.Machine(ctx, invalid, []string{invalid})); err != nil {
			return 0, err
		}
		fmt.Fprintln(os.Stderr, invalid)
	}
	if r.word != "nohook" {
		if err := b.provision(ctx, caller); err != nil {
			r.at(ctx, "cleanup")
			return 0, err
		}
	}
	r.at(ctx, "capture")
	services := packerwire.Services{}
	services.AddArtifact(artifact{r, "built"})
	made := r.conn.NextID()
	go func() { _ = services.ServeOn(context.Background(), r.conn, made) }()
	return made, nil
}

func (b builder) provision(ctx context.Context, caller *packerwire.Caller) error {
	r := b.r
	services := packerwire.Services{}
	services.AddCommunicator(r.conn, &machine{r: r})
	id := r.conn.NextID()
	if r.word != "unserved" {
		go func() { _ = services.ServeOn(context.Background(), r.conn, id) }()
	}
	data := map[string]any{"ID": "rogue"}
	if r.word == "utf8" {
		data["Odd"] = invalid
	}
	if r.word == "vanish" {
		go func() {
			time.Sleep(300 * time.Millisecond)
			fmt.Fprintln(os.Stderr, "panic: the machine is gone")
			os.Exit(2)
		}()
	}
	hook := packerwire.Hook{Caller: caller}
	if r.word == "again" {
		if err := hook.Run(ctx, packerwire.ProvisionHook, data, id, time.Minute); err != nil {
			return err
		}
	}
	return hook.Run(ctx, packerwire.ProvisionHook, data, id, time.Minute)
}

// flood prints ROGUE_MB megabytes as fast as it can, on the screen and in the log.
func (r *rogue) flood(ctx context.Context, ui packerwire.UI) error {
	mb := 50
	_, _ = fmt.Sscan(os.Getenv("ROGUE_MB"), &mb) // the default stays
	line := strings.Repeat("output ", 64<<10/7)
	for range mb * 16 {
		if err := ui.Say(ctx, line); err != nil {
			return err
		}
		fmt.Fprintln(os.Stderr, line[:8<<10])
	}
	return nil
}

type provisioner struct{ r *rogue }

func (p provisioner) ConfigSpec(ctx context.Context) ([]byte, error) {
	return p.r.spec(ctx, "Provisioner")
}

func (p provisioner) Prepare(ctx context.Context, _ []any) error {
	p.r.at(ctx, "Provisioner.Prepare")
	return nil
}

func (p provisioner) Provision(ctx context.Context, _ map[string]any, id uint32) error {
	r := p.r
	stream, err := r.conn.Dial(ctx, id)
	if err != nil {
		return err
	}
	caller := packerwire.NewCaller(stream)
	defer caller.Close()
	if err := (packerwire.UI{Caller: caller}).Say(ctx, "provisioning"); err != nil {
		return err
	}
	r.at(ctx, "Provisioner.Provision")
	if r.word == "transfer" {
		return r.transfer(ctx, caller)
	}
	return ctx.Err()
}

// transfer sends and fetches ROGUE_MB megabytes through the host.
func (r *rogue) transfer(ctx context.Context, caller *packerwire.Caller) error {
	mb := int64(1000)
	_, _ = fmt.Sscan(os.Getenv("ROGUE_MB"), &mb) // the default stays
	comm := packerwire.NewCommunicator(r.conn, caller, packerwire.CommunicatorOptions{})
	size := mb * 1e6
	if os.Getenv("ROGUE_FETCH") != "" {
		var got counter
		if err := comm.Get(ctx, os.Getenv("ROGUE_FETCH"), &got); err != nil {
			return err
		}
		fmt.Fprintln(os.Stderr, "fetched", int64(got))
		return nil
	}
	return comm.Put(ctx, os.DevNull, io.LimitReader(zeros{}, size), component.FileMeta{Size: size})
}

// counter counts what is written.
type counter int64

func (c *counter) Write(p []byte) (int, error) { *c += counter(len(p)); return len(p), nil }

type postProcessor struct{ r *rogue }

func (p postProcessor) ConfigSpec(ctx context.Context) ([]byte, error) {
	return p.r.spec(ctx, "PostProcessor")
}

func (p postProcessor) Configure(ctx context.Context, _ []any) error {
	p.r.at(ctx, "PostProcessor.Configure")
	return nil
}

func (p postProcessor) PostProcess(ctx context.Context, id uint32) (packerwire.Processed, error) {
	r := p.r
	r.at(ctx, "PostProcessor.PostProcess")
	stream, err := r.conn.Dial(ctx, id)
	if err != nil {
		return packerwire.Processed{}, err
	}
	caller := packerwire.NewCaller(stream)
	in := packerwire.Artifact{Caller: caller}
	services := packerwire.Services{}
	switch r.word {
	case "handon":
		services.AddArtifact(proxy{in})
	default:
		services.AddArtifact(artifact{r, "post"})
	}
	made := r.conn.NextID()
	go func() { _ = services.ServeOn(context.Background(), r.conn, made) }()
	return packerwire.Processed{Stream: made, Keep: r.word == "handon", ForceOverride: r.word == "handon"}, nil
}

type dataSource struct{ r *rogue }

func (d dataSource) ConfigSpec(ctx context.Context) ([]byte, error) {
	return d.r.spec(ctx, "Datasource")
}

func (d dataSource) OutputSpec(ctx context.Context) ([]byte, error) {
	d.r.at(ctx, "Datasource.OutputSpec")
	return d.r.spec(ctx, "output")
}

func (d dataSource) Configure(ctx context.Context, _ []any) error {
	d.r.at(ctx, "Datasource.Configure")
	return nil
}

func (d dataSource) Execute(ctx context.Context) ([]byte, error) {
	d.r.at(ctx, "Datasource.Execute")
	if d.r.word == "nonsense" {
		return []byte("\xc1\xc1"), nil
	}
	return wirespec.Protobuf.EncodeResult(cty.ObjectVal(map[string]cty.Value{"x": cty.StringVal("value")}))
}

type artifact struct {
	r  *rogue
	id string
}

func (a artifact) text(s string) string {
	if a.r.word == "utf8" {
		return invalid
	}
	return s
}

func (a artifact) BuilderID() string {
	a.r.at(context.Background(), "Artifact.BuilderId")
	return "rogue"
}
func (a artifact) ID() string      { return a.text(a.id) }
func (a artifact) Summary() string { return a.text("rogue artifact") }
func (a artifact) Files() []string { return []string{a.text("file")} }

func (a artifact) State(key string) any {
	if key == "custom" {
		return "known to " + a.id
	}
	return nil
}

func (a artifact) Destroy(ctx context.Context) error {
	a.r.at(ctx, "Artifact.Destroy")
	fmt.Fprintln(os.Stderr, "destroyed", a.id)
	return nil
}

// proxy hands on an artifact of the host.
type proxy struct{ in packerwire.Artifact }

func (p proxy) BuilderID() string { s, _ := p.in.BuilderID(context.Background()); return s }
func (p proxy) ID() string        { s, _ := p.in.ID(context.Background()); return s }
func (p proxy) Summary() string   { s, _ := p.in.Summary(context.Background()); return s }
func (p proxy) Files() []string   { s, _ := p.in.Files(context.Background()); return s }
func (p proxy) State(key string) any {
	v, _ := p.in.State(context.Background(), key)
	if key == "custom" {
		fmt.Fprintln(os.Stderr, "custom state:", v)
	}
	return v
}
func (p proxy) Destroy(ctx context.Context) error { return p.in.Destroy(ctx) }
