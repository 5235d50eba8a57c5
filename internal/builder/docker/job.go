package docker

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/distribution/reference"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/client"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"ingot/internal/component"
	"ingot/internal/dockerengine"
	"ingot/internal/gotmpl"
	"ingot/internal/retry"
)

// job is one image to be made. Its phases hand on what they learned in the
// fields below config.
type job struct {
	config *config
	env    dockerengine.Env

	// Set by Prepare.
	engine *dockerengine.Engine
	source source
}

// source is the image that the container starts from.
type source struct {
	// ref is how the container's configuration names it.
	ref string
	// id is the engine's name for it, and user the user its containers run as.
	id, user string
	// size is in bytes; volumes says that its containers have some.
	size    int64
	volumes bool
	// digest is the manifest's digest at the registry it came from, or "".
	digest string
}

var (
	_ component.Job       = (*job)(nil)
	_ component.FactNames = (*job)(nil)
	_ component.DataNames = (*job)(nil)
	_ component.Describer = (*job)(nil)
	_ component.Connector = (*job)(nil)
)

// FactNames implements component.FactNames.
func (j *job) FactNames() []string { return []string{factID, factSourceDigest} }

// DataNames implements component.DataNames.
func (j *job) DataNames() []string {
	if j.config.Commit {
		return []string{factImageSHA256}
	}
	return nil
}

// Creates implements component.Describer.
func (j *job) Creates() []component.Creation {
	var out []component.Creation
	if j.config.Build != nil {
		out = append(out, component.Creation{Kind: "image", Name: j.config.Build.Path, Temporary: true})
	}
	out = append(out, component.Creation{Kind: "container", Temporary: true})
	switch {
	case j.config.Commit:
		out = append(out, component.Creation{Kind: "image"})
	case j.config.exports:
		out = append(out, component.Creation{Kind: "file", Name: j.config.ExportPath})
	}
	return out
}

// ConnectsBy implements component.Connector.
func (j *job) ConnectsBy() string { return j.config.Communicator }

// Prepare finds the engine and gets the image there.
func (j *job) Prepare(ctx context.Context, r component.Run) error {
	engine, err := dockerengine.Open(j.env, r.Limits)
	if err != nil {
		return err
	}
	j.engine = engine
	ref := j.config.Image
	switch {
	case j.config.Build != nil:
		ref, err = j.buildSource(ctx, r)
	case j.config.Pull && !isImageID(ref):
		err = j.pull(ctx, r)
	}
	if err != nil {
		return err
	}
	return j.inspectSource(ctx, ref)
}

// isImageID reports whether ref is an engine's image ID, which no registry
// has.
func isImageID(ref string) bool {
	named, err := reference.ParseAnyReference(ref)
	if err != nil {
		return false
	}
	_, isNamed := named.(reference.Named)
	return !isNamed
}

func (j *job) inspectSource(ctx context.Context, ref string) error {
	img, err := j.engine.ImageInspect(ctx, ref)
	if cerrdefs.IsNotFound(err) {
		return retry.As(retry.User, fmt.Errorf("docker: there is no image %s on the engine at %s: set pull = true, or pull or build it first: %w", ref, j.engine.Endpoint.Host, err))
	}
	if err != nil {
		return j.engine.Explain(ctx, "inspect image "+ref, err)
	}
	j.source.ref, j.source.id, j.source.size = ref, img.ID, img.Size
	if img.Config != nil {
		j.source.user, j.source.volumes = img.Config.User, len(img.Config.Volumes) > 0
	}
	if j.source.digest == "" {
		j.source.digest = repoDigest(ref, img.RepoDigests)
	}
	return nil
}

// repoDigest picks the digest under which the repository of ref has the image.
func repoDigest(ref string, digests []string) string {
	want, err := reference.ParseNormalizedNamed(ref)
	if err != nil {
		return ""
	}
	for _, d := range digests {
		named, err := reference.ParseNormalizedNamed(d)
		if err != nil || named.Name() != want.Name() {
			continue
		}
		if c, ok := named.(reference.Canonical); ok {
			return c.Digest().String()
		}
	}
	return ""
}

// Boot creates and starts the container.
func (j *job) Boot(ctx context.Context, r component.Run) (component.Machine, error) {
	spec, err := j.runSpec(r)
	if err != nil {
		return nil, err
	}
	return j.boot(ctx, r, spec)
}

func (j *job) boot(ctx context.Context, r component.Run, spec *runSpec) (component.Machine, error) {
	id, err := j.create(ctx, r, spec)
	if err != nil {
		return nil, err
	}
	if spec.Name != "" {
		// The container is born under its token, by which a crash in the
		// middle is cleaned up, and gets the name asked for once it is known.
		if _, err := j.engine.ContainerRename(ctx, id, client.ContainerRenameOptions{NewName: spec.Name}); err != nil {
			return nil, j.engine.Explain(ctx, "name the container "+spec.Name, err)
		}
	}
	if _, err := j.engine.ContainerStart(ctx, id, client.ContainerStartOptions{}); err != nil {
		return nil, j.engine.Explain(ctx, "start container "+short(id), err)
	}
	return j.machine(id, spec), nil
}

func (j *job) machine(id string, spec *runSpec) component.Machine {
	user := j.config.ExecUser
	if user == "" {
		user = spec.Config.User
	}
	if user == "" {
		user = j.source.user
	}
	m := &machine{engine: j.engine, config: j.config, id: id, source: j.source}
	if j.config.Communicator != commDocker {
		return m
	}
	return &execMachine{machine: m, user: user, memoryMounts: spec.memoryMounts()}
}

// create makes the container under its token.
func (j *job) create(ctx context.Context, r component.Run, spec *runSpec) (string, error) {
	platform, err := dockerengine.ParsePlatform(spec.Platform)
	if err != nil {
		return "", err
	}
	want := component.Resource{Kind: containerKind, Attrs: dockerengine.Asking(j.engine.Endpoint.Attrs(nil))}
	lease, err := r.Journal.Acquire(ctx, want, func(ctx context.Context, res component.Resource) (string, error) {
		ctx, stop := answered(ctx)
		defer stop()
		config, host := j.labelled(spec, r.Labels(res.Token))
		made, err := j.engine.ContainerCreate(ctx, client.ContainerCreateOptions{
			Config: &config, HostConfig: &host, NetworkingConfig: spec.Networking,
			Platform: platform, Name: res.Token,
		})
		dockerengine.Answered(res.Attrs, err)
		for _, w := range made.Warnings {
			r.Emit(component.Warning{Summary: "The docker engine warns", Detail: w})
		}
		return made.ID, j.explainCreate(ctx, err, spec, platform)
	})
	if err != nil {
		return "", err
	}
	return lease.Resource().ID, nil
}

// labelled says on a container whose it is. A label would get into every image that is
// committed from it; an annotation does not, but an engine before 24 forgets it, and only
// the container's name is left then.
func (j *job) labelled(spec *runSpec, labels map[string]string) (container.Config, container.HostConfig) {
	config, host := spec.Config, spec.Host
	host.Annotations = withLabels(host.Annotations, labels)
	if !j.config.Commit {
		config.Labels = withLabels(config.Labels, labels)
	}
	return config, host
}

// withLabels adds labels to those that the user has set, which stay as they are.
func withLabels(given, more map[string]string) map[string]string {
	out := maps.Clone(more)
	maps.Copy(out, given)
	return out
}

func (j *job) explainCreate(ctx context.Context, err error, spec *runSpec, platform *ocispec.Platform) error {
	if err != nil && platform != nil && cerrdefs.IsNotFound(err) {
		return retry.As(retry.User, fmt.Errorf("docker: the image %s is on the engine for another platform than %s: set pull = true, or pull it with that platform: %w", spec.Image, j.config.Platform, err))
	}
	return j.engine.Explain(ctx, "create a container of "+spec.Image, err)
}

// answerGrace is how long a call that makes something is waited for after the
// build was cancelled. Its answer says what there is to remove; without it the
// engine could finish the work after the clean-up.
const answerGrace = 15 * time.Second

// answered returns a context that outlives the end of ctx by answerGrace.
func answered(ctx context.Context) (context.Context, context.CancelFunc) {
	out, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		grace := time.NewTimer(answerGrace)
		defer grace.Stop()
		select {
		case <-grace.C:
			cancel(context.Cause(ctx))
		case <-out.Done():
		}
	})
	return out, func() { stop(); cancel(context.Canceled) }
}

// runSpec is what the container is made of: the run command and the
// attributes that add to it.
func (j *job) runSpec(r component.Run) (*runSpec, error) {
	c := j.config
	args := make([]string, len(c.RunCommand))
	for i, a := range c.RunCommand {
		text, err := gotmpl.Render(a, r.Template, map[string]string{"Image": j.source.ref})
		if err != nil {
			return nil, fmt.Errorf("docker: run_command: %w", err)
		}
		args[i] = text
	}
	spec, err := parseRun(args)
	if err != nil {
		return nil, fmt.Errorf("docker: run_command: %w", err)
	}
	if err := c.addTo(spec); err != nil {
		return nil, err
	}
	return spec, j.addProxies(spec)
}

func (c *config) addTo(spec *runSpec) error {
	h := &spec.Host
	h.Privileged = h.Privileged || c.Privileged
	h.CapAdd = append(h.CapAdd, c.CapAdd...)
	h.CapDrop = append(h.CapDrop, c.CapDrop...)
	if c.Runtime != "" {
		h.Runtime = c.Runtime
	}
	if c.Platform != "" {
		spec.Platform = c.Platform
	}
	for _, t := range c.Tmpfs {
		addTmpfs(h, t)
	}
	for _, text := range c.Device {
		d, err := parseDevice(text)
		if err != nil {
			return err
		}
		h.Devices = append(h.Devices, d)
	}
	for _, source := range slices.Sorted(maps.Keys(c.Volumes)) {
		if err := addVolume(spec, source+":"+c.Volumes[source]); err != nil {
			return fmt.Errorf("docker: volumes: %w", err)
		}
	}
	if c.ContainerDir != "" {
		h.Mounts = append(h.Mounts, mount.Mount{Type: mount.TypeVolume, Target: path.Clean(c.ContainerDir)})
	}
	return nil
}

// addProxies sets the proxy variables that the docker configuration has for
// containers, as `docker run` does.
func (j *job) addProxies(spec *runSpec) error {
	file, err := dockerengine.ConfigFile(j.env)
	if err != nil {
		return err
	}
	if len(file.Proxies) == 0 {
		return nil
	}
	given := map[string]*string{}
	for _, v := range spec.Config.Env {
		name, value, _ := strings.Cut(v, "=")
		given[name] = &value
	}
	for name, value := range file.ParseProxyConfig(j.engine.Endpoint.Host, given) {
		if _, ok := given[name]; !ok && value != nil {
			spec.Config.Env = append(spec.Config.Env, name+"="+*value)
		}
	}
	slices.Sort(spec.Config.Env[len(given):])
	return nil
}

// Capture commits, exports or discards the container.
func (j *job) Capture(ctx context.Context, r component.Run, m component.Machine) (*component.Artifact, error) {
	var id string
	switch m := m.(type) {
	case *execMachine:
		id = m.id
	case *machine:
		id = m.id
	default:
		return nil, errors.New("docker: capture: the machine is not a container of this builder")
	}
	switch {
	case j.config.Commit:
		return j.commit(ctx, r, id)
	case j.config.Discard:
		return &component.Artifact{Producer: producerBuilder, Summary: "Discarded the container"}, nil
	}
	return j.export(ctx, r, id)
}

// short is the part of an ID that people see.
func short(id string) string {
	id = strings.TrimPrefix(id, "sha256:")
	return id[:min(12, len(id))]
}

// stopped describes a container that does not run any more.
func stopped(s *container.State) string {
	if s == nil {
		return "is not running"
	}
	text := fmt.Sprintf("ended with exit code %d", s.ExitCode)
	if s.OOMKilled {
		text += " (out of memory)"
	}
	if s.Error != "" {
		text += ": " + s.Error
	}
	return text
}
