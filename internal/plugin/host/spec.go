package host

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/zclconf/go-cty/cty"

	"ingot/internal/component"
	"ingot/internal/plugin/packerwire"
	"ingot/internal/plugin/process"
)

// spec is what a component's configuration and result look like.
type spec struct {
	once   sync.Mutex // guards the rest
	done   bool
	err    error
	schema component.Schema
	result cty.Type // of data sources
}

// spec returns the schema of a component: known, kept from an earlier run, or asked for.
// A process that runs already may be given, so that none is started for it.
func (h *Provider) spec(ctx context.Context, u use, p *process.Process) (*spec, error) {
	h.mu.Lock()
	s := h.specs[u]
	if s == nil {
		s = &spec{}
		h.specs[u] = s
	}
	h.mu.Unlock()
	s.once.Lock()
	defer s.once.Unlock()
	if s.done {
		return s, s.err
	}
	err := h.load(ctx, u, p, s)
	if err != nil {
		err = fmt.Errorf("the plugin %s: the schema of its %s %s: %w", h.plugin.Name, u.kind, process.Shown(u.name), err)
	}
	if ctx.Err() == nil {
		s.done, s.err = true, err
	}
	return s, err
}

// load gets the schema, and for a data source the type of the result.
func (h *Provider) load(ctx context.Context, u use, p *process.Process, s *spec) error {
	data, err := h.specBytes(ctx, u, "config", p, func(ctx context.Context, c *packerwire.Caller) ([]byte, error) { return askSpec(ctx, u.kind, c) })
	if err != nil {
		return err
	}
	if s.schema, err = h.encoding.DecodeSchema(data); err != nil {
		return err
	}
	s.schema.Description = fmt.Sprintf("Part of the plugin %s %s.", h.plugin.Name, h.plugin.Description.Version)
	adapt(&s.schema)
	if u.kind != process.DataSource {
		return nil
	}
	data, err = h.specBytes(ctx, u, "output", p, func(ctx context.Context, c *packerwire.Caller) ([]byte, error) {
		return packerwire.DataSource{Caller: c}.OutputSpec(ctx)
	})
	if err != nil {
		return err
	}
	result, err := h.encoding.DecodeSchema(data)
	if err != nil {
		return fmt.Errorf("of its result: %w", err)
	}
	s.result = result.ImpliedType()
	return nil
}

// adapt adds to a schema what the plugin's encoding cannot say: actions in texts are the
// plugin's to render, and some attributes are secrets by their name.
func adapt(s *component.Schema) {
	for i := range s.Attributes {
		a := &s.Attributes[i]
		a.Late = true
		a.Sensitive = a.Type == cty.String && secretName(a.Name)
	}
	for i := range s.Blocks {
		adapt(&s.Blocks[i].Schema)
	}
}

// secretName reports whether an attribute of that name holds a secret.
func secretName(name string) bool {
	for _, end := range []string{"password", "passphrase", "secret", "secret_key", "token", "api_key"} {
		if name == end || strings.HasSuffix(name, "_"+end) {
			return true
		}
	}
	return false
}

func askSpec(ctx context.Context, kind process.Kind, c *packerwire.Caller) ([]byte, error) {
	switch kind {
	case process.Builder:
		return packerwire.Builder{Caller: c}.ConfigSpec(ctx)
	case process.Provisioner:
		return packerwire.Provisioner{Caller: c}.ConfigSpec(ctx)
	case process.PostProcessor:
		return packerwire.PostProcessor{Caller: c}.ConfigSpec(ctx)
	}
	return packerwire.DataSource{Caller: c}.ConfigSpec(ctx)
}

// specBytes returns what a process answers, or has answered in an earlier run.
func (h *Provider) specBytes(ctx context.Context, u use, what string, p *process.Process, ask func(context.Context, *packerwire.Caller) ([]byte, error)) ([]byte, error) {
	kept := h.specFile(u, what)
	if kept != "" {
		if data, err := os.ReadFile(kept); err == nil {
			if _, err := h.encoding.DecodeSchema(data); err == nil {
				return data, nil
			}
		}
	}
	own := p == nil
	if own {
		var err error
		if p, err = h.borrow(ctx, u); err != nil {
			return nil, err
		}
	}
	asking, cancel := context.WithTimeoutCause(ctx, askPatience, errSlow)
	defer cancel()
	data, err := ask(asking, p.Caller())
	if err != nil {
		err = p.Explain(err)
		if own {
			_ = h.end(ctx, p) // Close tries again
		}
		return nil, err
	}
	if own {
		h.put(u, p)
	}
	if _, err := h.encoding.DecodeSchema(data); err == nil && kept != "" {
		keepFile(kept, data)
	}
	return data, nil
}

// specFile is where an answer is kept; empty when it is not.
func (h *Provider) specFile(u use, what string) string {
	if h.plugin.SpecCache == "" || h.plugin.Digest == "" {
		return ""
	}
	name := fmt.Sprintf("%s-%s-%s-%s-%s", h.plugin.Digest, u.kind, u.name, h.encoding, what)
	if name != filepath.Base(name) || len(name) > 250 {
		return "" // a component with such a name is asked each time
	}
	return filepath.Join(h.plugin.SpecCache, name)
}

// keepFile writes a file as a whole. When that fails it is asked for again the next time.
func keepFile(path string, data []byte) {
	if os.MkdirAll(filepath.Dir(path), 0o700) != nil {
		return
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return
	}
	_, err = f.Write(data)
	if closeErr := f.Close(); err != nil || closeErr != nil || os.Rename(f.Name(), path) != nil {
		_ = os.Remove(f.Name()) // it is only in the way
	}
}
