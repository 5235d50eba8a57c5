package component

import (
	"context"
	"time"
)

// Labels by which what a run has made can be found at its provider, by somebody who
// does not have the run's journal.
const (
	// LabelToken holds the resource's token.
	LabelToken = "io.ingot.token"
	// LabelRun holds the run's id and LabelBuild the name of its build.
	LabelRun   = "io.ingot.run"
	LabelBuild = "io.ingot.build"
	// LabelExpires holds the time, in RFC 3339, after which nobody needs the
	// resource any more.
	LabelExpires = "io.ingot.expires"
)

// Labels are what a resource of the run that has a token is to carry.
func (r Run) Labels(token string) map[string]string {
	out := map[string]string{LabelToken: token, LabelRun: r.ID, LabelBuild: r.Build.String()}
	if !r.Expires.IsZero() {
		out[LabelExpires] = r.Expires.UTC().Format(time.RFC3339)
	}
	return out
}

// Sweeper is implemented by a reaper whose provider can be asked for what carries our
// labels.
type Sweeper interface {
	Reaper
	// Provider is the name of the provider on the command line.
	Provider() string
	// Find lists what carries the labels, at the place that the user's environment
	// names. It lists nothing that the reaper would not remove by its ID.
	Find(ctx context.Context) ([]Found, error)
}

// Found is a resource that a Sweeper has found.
type Found struct {
	Resource Resource
	// Run and Build are "" when the resource does not say.
	Run, Build string
	// Made is when it was made, and Expires when it is not needed any more; zero
	// when that is not known.
	Made, Expires time.Time
}

// FoundBy fills in what labels say.
func FoundBy(r Resource, labels map[string]string, made time.Time) Found {
	f := Found{Resource: r, Run: labels[LabelRun], Build: labels[LabelBuild], Made: made}
	if at, err := time.Parse(time.RFC3339, labels[LabelExpires]); err == nil {
		f.Expires = at
	}
	return f
}
