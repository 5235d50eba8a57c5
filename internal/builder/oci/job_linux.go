package oci

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"

	"ingot/internal/builder/oci/base"
	"ingot/internal/builder/oci/layers"
	"ingot/internal/builder/oci/sandbox"
	"ingot/internal/component"
	"ingot/internal/diag"
)

func checkCapabilities(add []string) error {
	_, err := sandbox.Capabilities(add)
	return err
}

// job is one image to be made.
type job struct {
	p *plan

	// Set by Prepare.
	state   string
	box     *sandbox.Sandbox
	store   *base.Store
	image   *base.Image
	rootfs  []string // the base's unpacked layers, lowest first
	ids     sandbox.IDMap
	started time.Time
}

func newJob(p *plan) (component.Job, diag.List) { return &job{p: p}, nil }

// FactNames are the names of Machine.Facts.
func (j *job) FactNames() []string { return []string{"ID"} }

// DataNames are the names of what the artifact says of the image.
func (j *job) DataNames() []string { return []string{"ManifestDigest"} }

// Creates implements component.Describer.
func (j *job) Creates() []component.Creation {
	out := []component.Creation{{Kind: "sandbox", Temporary: true}}
	for _, o := range j.p.outputs {
		out = append(out, component.Creation{Kind: "image", Name: o.format + ":" + o.path})
	}
	if len(j.p.outputs) == 0 {
		out = append(out, component.Creation{Kind: "image"}) // where is not known yet
	}
	return out
}

// ConnectsBy implements component.Connector.
func (j *job) ConnectsBy() string { return "oci" }

// Prepare makes the sandbox and unpacks the base image.
func (j *job) Prepare(ctx context.Context, r component.Run) error {
	j.started = r.Clock.Now()
	for _, o := range j.p.outputs {
		if err := o.vacant(r.Force); err != nil {
			return err
		}
	}
	var err error
	j.ids = sandbox.CurrentIDMap()
	if err := j.openStore(ctx, r); err != nil {
		return err
	}
	if j.box, err = j.start(ctx, r, j.state, j.p.Network == "none"); err != nil {
		return err
	}
	if j.image, err = j.loadBase(ctx, r); err != nil {
		return fmt.Errorf("oci: %w", err)
	}
	if err := j.checkPlatform(r); err != nil {
		return err
	}
	if err := j.unpackBase(ctx, r); err != nil {
		return fmt.Errorf("oci: base image %s: %w", j.p.From, err)
	}
	return nil
}

// checkPlatform compares the base with what was asked for. Images that come
// alone are taken as they are unless the user named a platform.
func (j *job) checkPlatform(r component.Run) error {
	c, want := j.image.Config, j.p.platform
	if c.OS == "" && c.Architecture == "" {
		c.OS, c.Architecture, c.Variant = want.OS, want.Architecture, want.Variant // it does not say
	}
	if c.OS == want.OS && c.Architecture == want.Architecture {
		return nil
	}
	have := c.OS + "/" + c.Architecture
	if j.p.Platform != "" || c.OS != "linux" {
		return fmt.Errorf("oci: base image %s is for %s, not for %s/%s", j.p.From, have, want.OS, want.Architecture)
	}
	r.Emit(component.Warning{
		Summary: "The base image is for " + have,
		Detail:  fmt.Sprintf("Its programs run on this machine (%s) only if an emulator is registered with binfmt_misc.", want.Architecture),
	})
	return nil
}

// openStore makes the build's own directory, below the cache: what a build
// writes is as large as an image, while a private folder may lie in memory, and
// unpacked layers are renamed from the one into the other.
func (j *job) openStore(ctx context.Context, r component.Run) error {
	root, err := filepath.Abs(filepath.Join(r.CacheDir, "oci"))
	if err != nil {
		return fmt.Errorf("oci: %w", err)
	}
	j.store = &base.Store{Root: root, Clock: r.Clock, Waiting: func(what string, elapsed time.Duration) {
		r.Emit(component.Waiting{For: what, Elapsed: elapsed})
	}}
	builds, err := j.store.Dir("builds")
	if err != nil {
		return err
	}
	want := component.Resource{Kind: DirKind, Attrs: map[string]string{attrParent: builds}}
	lease, err := r.Journal.Acquire(ctx, want, func(_ context.Context, res component.Resource) (string, error) {
		dir := filepath.Join(builds, dirName(res.Token))
		return dir, os.Mkdir(dir, 0o755)
	})
	if err != nil {
		return fmt.Errorf("oci: make directory below %s: %w", builds, err)
	}
	j.state = lease.Resource().ID
	j.store.Tmp = filepath.Join(j.state, "tmp")
	for _, d := range []string{"l", "m", "tmp"} {
		if err := os.Mkdir(filepath.Join(j.state, d), 0o755); err != nil {
			return fmt.Errorf("oci: %w", err)
		}
	}
	return nil
}

// dirName is the name of the directory that has a token.
func dirName(token string) string { return "oci-" + token }

// start starts a sandbox that the journal knows of.
func (j *job) start(ctx context.Context, r component.Run, state string, ownNetwork bool) (*sandbox.Sandbox, error) {
	var box *sandbox.Sandbox
	_, err := r.Journal.Acquire(ctx, component.Resource{Kind: SandboxKind}, func(ctx context.Context, res component.Resource) (id string, err error) {
		box, err = sandbox.Start(ctx, sandbox.Config{IDs: j.ids, OwnNetwork: ownNetwork, Token: res.Token, State: state})
		if err != nil {
			return "", err
		}
		return processID(box.Pid())
	})
	if err != nil {
		return nil, fmt.Errorf("oci: start sandbox: %w", err)
	}
	return box, nil
}

func (j *job) loadBase(ctx context.Context, r component.Run) (*base.Image, error) {
	return j.store.Load(ctx, j.request(r))
}

// request is what is asked of the store of base images.
func (j *job) request(r component.Run) base.Request {
	p := j.p
	return base.Request{
		Kind: p.kind, Ref: p.ref, Platform: p.platform, Compression: j.compression(),
		Insecure: p.Insecure, PullMissing: p.Pull == "missing", Auth: p.keychain(),
		Limits: r.Limits, Retries: r.TellRetries,
		Progress: func(id, label string, done, total int64, finished bool) {
			r.Emit(component.Progress{ID: id, Label: label, Done: done, Total: total, Finished: finished})
		},
		Bootstrap: base.Bootstrap{
			Mirror: p.Mirror, Variant: p.Variant, Packages: p.Packages, Components: p.Components, Refresh: p.Refresh,
			Epoch: p.epoch, Platform: p.platform, Single: j.ids.Single(), Run: j.hostCommand(r), Say: r.Say,
		},
	}
}

func (p *plan) keychain() authn.Keychain {
	if p.LoginUsername == "" {
		return authn.DefaultKeychain
	}
	return fixedLogin{authn.FromConfig(authn.AuthConfig{Username: p.LoginUsername, Password: p.LoginPassword})}
}

type fixedLogin struct{ authn.Authenticator }

func (f fixedLogin) Resolve(authn.Resource) (authn.Authenticator, error) { return f.Authenticator, nil }

func (j *job) compression() base.Compression {
	return base.Compression{Name: j.p.Compression, Level: j.p.CompressionLevel}
}

// hostCommand runs a program of this machine inside a sandbox of its own, so
// that nothing it mounts or starts can outlive the build.
func (j *job) hostCommand(r component.Run) func(ctx context.Context, args, env []string) error {
	return func(ctx context.Context, args, env []string) error {
		box, err := j.start(ctx, r, j.state, false)
		if err != nil {
			return err
		}
		defer box.Close()
		out := component.NewLineWriter(r.Events, component.Stdout)
		defer out.Flush()
		code, signal, err := box.Exec(ctx, sandbox.Command{Args: args, Env: env, Host: true, Stdout: out, Stderr: out})
		if err == nil && code != 0 {
			err = fmt.Errorf("%s ended with %s", filepath.Base(args[0]), component.Exit{Code: code, Signal: signal})
		}
		return err
	}
}

func (j *job) unpackBase(ctx context.Context, r component.Run) error {
	var report layers.Report
	var err error
	j.rootfs, err = j.store.Rootfs(ctx, j.ids.Key(), j.image, func(ctx context.Context, lowers []string, dest string, layer io.Reader) error {
		r.Say("Unpacking " + j.image.From)
		got, err := j.box.Unpack(ctx, j.state, lowers, dest, layer)
		report.Squashed += got.Squashed
		report.Devices += got.Devices
		return err
	})
	if err != nil {
		return err
	}
	if len(j.rootfs) == 0 {
		empty := filepath.Join(j.state, "scratch")
		if err := os.Mkdir(empty, 0o755); err != nil {
			return err
		}
		j.rootfs = []string{empty}
	}
	if j.ids.Single() {
		r.Emit(component.Warning{
			Summary: "All files in the sandbox belong to root",
			Detail:  "Without root, and without ranges of user ids, the sandbox has a single user: changing a file's owner fails there, and so do package managers that switch to another user (for apt: -o APT::Sandbox::User=root). The layers of the base image keep their owners. For full ownership install newuidmap (package uidmap) and give this user a range in /etc/subuid and /etc/subgid, or run as root.",
		})
	}
	if report.Devices > 0 {
		r.Emit(component.Warning{
			Summary: fmt.Sprintf("%d device nodes of the base image are missing in the sandbox", report.Devices),
			Detail:  "Only root may make device nodes. The layers of the base image keep them.",
		})
	}
	return nil
}

// Boot attaches the base image to the sandbox.
func (j *job) Boot(ctx context.Context, r component.Run) (component.Machine, error) {
	return j.boot(ctx, j.newMachine())
}

// newMachine is a machine on the base image.
func (j *job) newMachine() *machine {
	m := &machine{job: j, id: filepath.Base(j.state), diffs: newDiffs()}
	for i := len(j.rootfs) - 1; i >= 0; i-- {
		m.lowers = append(m.lowers, j.rootfs[i])
	}
	return m
}

func (j *job) boot(ctx context.Context, m *machine) (component.Machine, error) {
	if err := j.writeNetworkFiles(); err != nil {
		return nil, fmt.Errorf("oci: %w", err)
	}
	caps, err := sandbox.Capabilities(j.p.CapAdd)
	if err != nil {
		return nil, fmt.Errorf("oci: %w", err)
	}
	m.caps = caps
	if m.mounts, err = j.mounts(); err != nil {
		return nil, fmt.Errorf("oci: %w", err)
	}
	if j.ids.Single() && j.p.ExecUser != "" && j.p.ExecUser != "0" && j.p.ExecUser != "root" {
		return nil, fmt.Errorf("oci: exec_user %q: without root and without ranges of user ids the sandbox has root only; install newuidmap (package uidmap) and add this user to /etc/subuid and /etc/subgid", j.p.ExecUser)
	}
	if err := m.attach(ctx); err != nil {
		return nil, fmt.Errorf("oci: attach file system: %w", err)
	}
	return m, nil
}

func (j *job) mounts() ([]sandbox.Mount, error) {
	var out []sandbox.Mount
	for _, t := range j.p.Tmpfs {
		out = append(out, sandbox.Mount{Target: t})
	}
	for _, b := range j.p.Mounts {
		source, err := filepath.Abs(b.Source)
		if err != nil {
			return nil, fmt.Errorf("mount %s: %w", b.Source, err)
		}
		info, err := os.Stat(source)
		if err != nil {
			return nil, fmt.Errorf("mount %s: %w", b.Source, err)
		}
		out = append(out, sandbox.Mount{Source: source, Target: b.Target, ReadOnly: b.ReadOnly == nil || *b.ReadOnly, File: !info.IsDir()})
	}
	return out, nil
}

// writeNetworkFiles writes what covers /etc/resolv.conf and /etc/hosts.
func (j *job) writeNetworkFiles() error {
	var resolv, hosts []byte
	if j.p.Network != "none" {
		var err1, err2 error
		resolv, err1 = os.ReadFile("/etc/resolv.conf")
		hosts, err2 = os.ReadFile("/etc/hosts")
		for _, err := range []error{err1, err2} {
			if err != nil && !errors.Is(err, os.ErrNotExist) {
				return err
			}
		}
	}
	if len(hosts) == 0 {
		hosts = []byte("127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n")
	}
	text := strings.TrimRight(string(hosts), "\n") + "\n127.0.1.1 " + j.p.Hostname + "\n"
	return errors.Join(
		os.WriteFile(filepath.Join(j.state, "resolv.conf"), resolv, 0o644),
		os.WriteFile(filepath.Join(j.state, "hosts"), []byte(text), 0o644))
}

// nonce makes a short random word for names of temporary files.
func nonce() string {
	var b [6]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}
