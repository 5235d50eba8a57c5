package store

import (
	"context"
	"fmt"

	"github.com/hashicorp/go-version"

	"ingot/internal/addr"
)

// Want says which plugin is wanted.
type Want struct {
	// Source is the address that it was installed from; a zero one takes all
	// sources, of which the highest version counts.
	Source addr.Plugin
	// Name is that of the plugin; with a Source it is known.
	Name string
	// Constraints are compared with the version without its pre-release.
	Constraints version.Constraints
	// Version is the only one that will do, pre-release included; nil for any.
	Version *version.Version
	// ReleasesOnly passes over pre-releases.
	ReleasesOnly bool
	// Approve, when set, is asked about a plugin whose content has the checksum
	// beside it, before it is run. Its error ends the choice.
	Approve func(Binary) error
}

// Found is a plugin that can be used.
type Found struct {
	Binary
	Description
}

// Refused is a plugin that is there and cannot be used.
type Refused struct {
	Binary
	Why error
}

// RefusedByApproval is returned by Choose for what Want.Approve has refused.
type RefusedByApproval struct {
	Binary
	error
}

func (r RefusedByApproval) Unwrap() error { return r.error }

// Candidates returns those that would do by their names, best last, and those that
// are refused by their names. Nothing is read but folders.
func (s *Store) Candidates(w Want) (ok []Binary, refused []Refused, err error) {
	all, err := s.matching(w)
	if err != nil {
		return nil, nil, err
	}
	for _, b := range all {
		if why := w.refuses(b); why != nil {
			refused = append(refused, Refused{b, why})
			continue
		}
		ok = append(ok, b)
	}
	return ok, refused, nil
}

func (s *Store) matching(w Want) ([]Binary, error) {
	if !w.Source.IsZero() {
		return s.Installed(w.Source)
	}
	all, err := s.List()
	if err != nil {
		return nil, err
	}
	var out []Binary
	for _, b := range all {
		if b.Name == w.Name {
			out = append(out, b)
		}
	}
	return out, nil
}

// refuses says why a plugin will not do, as far as its name tells.
func (w Want) refuses(b Binary) error {
	switch {
	case w.Version != nil && !b.Version.Equal(w.Version):
		return fmt.Errorf("another version, %s, is wanted", w.Version)
	case w.Constraints != nil && !w.Constraints.Check(b.Version.Core()):
		return fmt.Errorf("its version is not %s", w.Constraints)
	case w.ReleasesOnly && b.Version.Prerelease() != "":
		return fmt.Errorf("its version %s is a pre-release", b.Version)
	case !b.API.Served():
		return fmt.Errorf("it speaks the plugin protocol %s; this program speaks %s", b.API, HostAPI())
	}
	return nil
}

// Choose finds the best plugin that is wanted and can be believed. It is nil when
// there is none; refused says what was passed over and why.
func (s *Store) Choose(ctx context.Context, w Want) (found *Found, refused []Refused, err error) {
	ok, refused, err := s.Candidates(w)
	if err != nil {
		return nil, nil, err
	}
	for i := len(ok) - 1; i >= 0; i-- {
		f, err := s.check(ctx, ok[i], w.Approve)
		if err == nil {
			return f, refused, nil
		}
		if _, decided := err.(RefusedByApproval); decided {
			return nil, refused, err
		}
		if ctx.Err() != nil {
			return nil, refused, context.Cause(ctx)
		}
		refused = append(refused, Refused{ok[i], err})
	}
	return nil, refused, nil
}

// check does what takes reading and running the plugin, in this order.
func (s *Store) check(ctx context.Context, b Binary, approve func(Binary) error) (*Found, error) {
	b, err := Verify(ctx, b)
	if err != nil {
		return nil, err
	}
	if approve != nil {
		if err := approve(b); err != nil {
			return nil, RefusedByApproval{b, err}
		}
	}
	d, err := s.Describe(ctx, b)
	if err != nil {
		return nil, err
	}
	if err := Agree(b, d); err != nil {
		return nil, err
	}
	return &Found{b, d}, nil
}

// Usable returns all plugins that can be believed, whatever protocol they speak,
// sorted as by List, and those that cannot.
func (s *Store) Usable(ctx context.Context) (found []Found, refused []Refused, err error) {
	all, err := s.List()
	if err != nil {
		return nil, nil, err
	}
	for _, b := range all {
		f, err := s.check(ctx, b, nil)
		if ctx.Err() != nil {
			return nil, nil, context.Cause(ctx)
		}
		if err != nil {
			refused = append(refused, Refused{b, err})
			continue
		}
		found = append(found, *f)
	}
	return found, refused, nil
}
