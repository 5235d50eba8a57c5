package component

import "context"

// Resource is something that can outlive the process that made it: a
// container, a directory, a key, a process.
type Resource struct {
	// Kind decides which Reaper removes it: "docker.container", "file.dir",
	// "os.process".
	Kind string `json:"kind"`
	// Token is made by us and unique. It is set on the resource as label,
	// name or environment before or while it is created, so that a
	// resource whose ID we never learned can be found.
	Token string `json:"token"`
	// ID is the other side's name for it; empty until it is known.
	ID string `json:"id,omitempty"`
	// Attrs are enough to remove it from another process (an endpoint, a
	// region). Never secrets.
	Attrs map[string]string `json:"attrs,omitempty"`
}

// Recorder is the journal as components see it.
type Recorder interface {
	// Acquire makes a resource that outlives the process. The intent is on
	// disk before create is called and the outcome after it has returned.
	// When want.Token is empty Acquire fills it in; create is given the
	// resource with its token and returns its ID; it may add to r.Attrs, which
	// is never nil, what only then becomes known. If create fails, what it
	// may have made all the same is removed through the Reaper before
	// Acquire returns the error.
	Acquire(ctx context.Context, want Resource, create func(ctx context.Context, r Resource) (id string, err error)) (Lease, error)
}

// Lease is a resource that the run holds.
type Lease interface {
	Resource() Resource
	// Release removes the resource through its Reaper. It may be called
	// more than once. The engine releases leases that are still open when
	// a build ends, newest first.
	Release(ctx context.Context) error
	// Keep gives the resource up without removing it, because it now
	// belongs to an artifact or the user.
	Keep(ctx context.Context) error
}

// Prober is implemented by a Reaper that can tell whether resources of its kinds
// are there. Of files and folders everybody can.
type Prober interface {
	// Probe returns a text that stays the same as long as the resource does, such
	// as the ID of the image that a name stands for; "" when it is gone.
	Probe(ctx context.Context, r Resource) (string, error)
}

// Reaper removes resources of some kinds, in the process that made them or
// in a later one.
type Reaper interface {
	// Kinds are the resource kinds it removes.
	Kinds() []string
	// Reap removes the resource and is idempotent: gone is success. When
	// r.ID is empty it finds the resource by its Token; when nothing has
	// that token there is nothing to do. It never removes anything else.
	Reap(ctx context.Context, r Resource) error
}
