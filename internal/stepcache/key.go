package stepcache

import (
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"

	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/json"
)

// Part is one of the things that a result depends on: what users call it, and a
// digest of it.
type Part struct {
	Name   string `json:"name"`
	Digest string `json:"digest"`
}

// Link is a place in a chain of keys: a machine, with what made it of the one
// before.
type Link struct {
	Key string `json:"key"`
	// What is what users call the step; the type of the builder in the first one.
	What  string `json:"what"`
	Parts []Part `json:"parts"`
}

// Chain is the first link and one for each step after it.
type Chain []Link

// Begin returns the chain of a machine before its first provisioner.
func Begin(what string, parts []Part) Chain {
	return Chain{newLink("", what, parts)}
}

// Next returns the chain with one more link. The chain itself stays as it is.
func (c Chain) Next(what string, parts []Part) Chain {
	return append(c[:len(c):len(c)], newLink(c.Key(), what, parts))
}

// Key is the key of the last link.
func (c Chain) Key() string { return c[len(c)-1].Key }

func newLink(before, what string, parts []Part) Link {
	parts = slices.Clone(parts)
	slices.SortFunc(parts, func(a, b Part) int { return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Digest, b.Digest)) })
	h := sha256.New()
	// Quoting keeps texts apart, whatever is in them.
	fmt.Fprintf(h, "ingot step cache %d\n%q\n%q\n", Format, before, what)
	for _, p := range parts {
		fmt.Fprintf(h, "%q %q\n", p.Name, p.Digest)
	}
	return Link{Key: hex.EncodeToString(h.Sum(nil)), What: what, Parts: parts}
}

// Text is the part for a text that is not secret.
func Text(name, text string) Part {
	sum := sha256.Sum256([]byte(text))
	return Part{Name: name, Digest: "sha256:" + hex.EncodeToString(sum[:])}
}

// Secret makes digests from which nobody without the key can find the text, be it
// as short as it may.
type Secret []byte

func (s Secret) text(name string, text []byte) Part {
	mac := hmac.New(sha256.New, s)
	mac.Write(text)
	return Part{Name: name, Digest: "hmac-sha256:" + hex.EncodeToString(mac.Sum(nil))}
}

// Arguments are the parts for a configuration: one for each argument and block
// that has a value and is not left out. What the paths lead to is secret.
func Arguments(cfg cty.Value, secrets []cty.Path, secret Secret, leave []string) ([]Part, error) {
	if cfg == cty.NilVal || cfg.IsNull() || !cfg.IsWhollyKnown() {
		return nil, fmt.Errorf("step cache: the configuration is not known")
	}
	var out []Part
	for name, v := range cfg.AsValueMap() {
		if v.IsNull() || slices.Contains(leave, name) {
			continue
		}
		text, err := json.Marshal(v, v.Type())
		if err != nil {
			return nil, fmt.Errorf("step cache: argument %s: %w", name, err)
		}
		label := "argument " + name
		if slices.ContainsFunc(secrets, func(p cty.Path) bool { return startsWith(p, name) }) {
			out = append(out, secret.text(label, text))
			continue
		}
		out = append(out, Text(label, string(text)))
	}
	slices.SortFunc(out, func(a, b Part) int { return cmp.Compare(a.Name, b.Name) })
	return out, nil
}

func startsWith(p cty.Path, name string) bool {
	if len(p) == 0 {
		return true // all of it
	}
	step, ok := p[0].(cty.GetAttrStep)
	return ok && step.Name == name
}
