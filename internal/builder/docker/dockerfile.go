package docker

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"

	"github.com/moby/moby/api/types/build"
	"github.com/moby/moby/api/types/jsonstream"
	"github.com/moby/moby/client"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"ingot/internal/component"
	"ingot/internal/dockerengine"
	"ingot/internal/retry"
)

// buildSource builds the image to start from and returns its name. The image
// has a name of its own for the time of the build; what the engine cached
// while building stays with it, as after `docker build`.
func (j *job) buildSource(ctx context.Context, r component.Run) (string, error) {
	b := j.config.Build
	text, err := os.ReadFile(b.Path)
	if err != nil {
		return "", retry.As(retry.User, fmt.Errorf("docker: build: %w", err))
	}
	opts, err := j.buildOptions(ctx, text)
	if err != nil {
		return "", err
	}
	r.Say("Building an image from " + b.Path)
	want := component.Resource{Kind: imageKind, Attrs: j.engine.Endpoint.Attrs(map[string]string{dockerengine.AttrOwnTag: "1"})}
	lease, err := r.Journal.Acquire(ctx, want, func(ctx context.Context, res component.Resource) (string, error) {
		tag := dockerengine.OwnTag(res.Token)
		opts.Tags = []string{tag}
		return tag, j.runBuild(ctx, r, text, opts)
	})
	if err != nil {
		return "", err
	}
	return lease.Resource().ID, nil
}

func (j *job) buildOptions(ctx context.Context, dockerfile []byte) (client.ImageBuildOptions, error) {
	b := j.config.Build
	opts := client.ImageBuildOptions{
		Remove: true, ForceRemove: true, PullParent: b.Pull, BuildArgs: map[string]*string{},
		Version: build.BuilderV1,
	}
	if needsBuildKit(dockerfile) {
		opts.Version = build.BuilderBuildKit
	}
	for name, value := range b.Arguments {
		opts.BuildArgs[name] = &value
	}
	file, err := dockerengine.ConfigFile(j.env)
	if err != nil {
		return opts, err
	}
	opts.BuildArgs = file.ParseProxyConfig(j.engine.Endpoint.Host, opts.BuildArgs)
	if opts.AuthConfigs, err = j.config.Login.All(ctx, j.env); err != nil {
		return opts, err
	}
	platform, err := dockerengine.ParsePlatform(j.config.Platform)
	if err != nil {
		return opts, err
	}
	if platform != nil {
		opts.Platforms = []ocispec.Platform{*platform}
	}
	return opts, nil
}

// needsBuildKit reports whether a Dockerfile uses what the engine's classic
// builder does not have. The classic one is preferred because it can be given
// credentials for the base images.
func needsBuildKit(dockerfile []byte) bool {
	return regexp.MustCompile(`(?mi)^#\s*syntax\s*=|^\s*RUN\s+--(mount|network|security|device)|^\s*(COPY|ADD)\s.*--(link|chmod|exclude|parents|checksum|keep-git-dir)|^\s*(RUN|COPY|ADD)\s.*<<-?['"]?[A-Za-z_]`).Match(dockerfile)
}

func (j *job) runBuild(ctx context.Context, r component.Run, dockerfile []byte, opts client.ImageBuildOptions) error {
	dir := j.config.Build.Dir
	if dir == "" {
		dir = "."
	}
	tree, err := openBuildContext(dir, j.config.Build.Path, dockerfile, j.config.Build.Compress)
	if err != nil {
		return retry.As(retry.User, fmt.Errorf("docker: build: %w", err))
	}
	opts.Dockerfile = tree.dockerfile
	body, done := tree.stream()
	result, err := j.engine.ImageBuild(ctx, body, opts)
	if err != nil {
		return j.explainBuild(ctx, errors.Join(done(), err))
	}
	defer result.Body.Close()
	err = followBuild(r, result.Body)
	if sent := done(); err == nil {
		err = sent
	}
	return j.explainBuild(ctx, err)
}

func (j *job) explainBuild(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	wrapped := j.engine.Explain(ctx, "build "+j.config.Build.Path, err)
	if retry.ClassOf(wrapped) == retry.Permission {
		return fmt.Errorf("%w: set login = true with login_server, login_username and login_password, or run `docker login`; a Dockerfile that needs BuildKit can only start from images that need no login or are on the engine already", wrapped)
	}
	return wrapped
}

// followBuild turns the messages of a build into output until its end.
func followBuild(r component.Run, body io.Reader) error {
	out := component.NewLineWriter(r.Events, component.Stdout)
	defer out.Flush()
	trace := &buildTrace{out: out, named: map[string]bool{}}
	for dec := json.NewDecoder(body); ; {
		var m jsonstream.Message
		err := dec.Decode(&m)
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read the engine's answer: %w", err)
		}
		switch {
		case m.Error != nil:
			return errors.New(strings.TrimSpace(m.Error.Message))
		case m.Stream != "":
			_, _ = io.WriteString(out, m.Stream) // a LineWriter never fails
		case m.ID == "moby.buildkit.trace" && m.Aux != nil:
			var raw []byte
			if json.Unmarshal(*m.Aux, &raw) == nil {
				trace.take(raw)
			}
		case m.ID != "" && m.Progress != nil && m.Progress.Total > 0:
			r.Emit(component.Progress{ID: m.ID, Label: m.Status + " " + m.ID, Done: m.Progress.Current, Total: m.Progress.Total, Finished: m.Progress.Current == m.Progress.Total})
		}
	}
}

// buildTrace shows what BuildKit says: the name of each step as it starts, and
// the output of commands. Its messages are protocol buffers, of which only the
// few fields that matter here are read.
type buildTrace struct {
	out   io.Writer
	named map[string]bool
}

// Field numbers of BuildKit's StatusResponse, Vertex and VertexLog.
const (
	statusVertex  = 1
	statusLog     = 3
	vertexDigest  = 1
	vertexName    = 3
	vertexStarted = 5
	vertexError   = 7
	logMessage    = 4
)

func (t *buildTrace) take(raw []byte) {
	for number, value := range protoFields(raw) {
		fields := map[int][]byte{}
		for n, v := range protoFields(value) {
			fields[n] = v
		}
		switch number {
		case statusVertex:
			key := string(fields[vertexDigest])
			if fields[vertexStarted] != nil && !t.named[key] {
				t.named[key] = true
				fmt.Fprintf(t.out, "%s\n", bytes.TrimSpace(fields[vertexName]))
			}
			if e := fields[vertexError]; len(e) > 0 {
				fmt.Fprintf(t.out, "%s\n", bytes.TrimSpace(e))
			}
		case statusLog:
			_, _ = t.out.Write(fields[logMessage]) // a LineWriter never fails
		}
	}
}
