package dockerengine

import (
	"time"

	cerrdefs "github.com/containerd/errdefs"
)

// An engine goes on with what it was asked for when the one who asked is gone.
// What a crashed run has asked for may so appear only after it was looked for.
// Resources therefore say when that was, until the engine has answered.
const (
	// attrAsked is when the engine was asked.
	attrAsked = "asked"
	// AttrContainer, on an image, is the container that it is made from.
	AttrContainer = "container"
)

const (
	// beginLimit is how long after a request its work has begun for certain,
	// if it arrived at all.
	beginLimit = 5 * time.Second
	// workLimit is how long an image may take that is being made. After that
	// the engine is taken to have given up.
	workLimit = 10 * time.Minute
)

// Asking adds to the attributes of a resource that the engine is asked to make
// it now.
func Asking(attrs map[string]string) map[string]string {
	attrs[attrAsked] = time.Now().UTC().Format(time.RFC3339Nano)
	return attrs
}

// Answered notes what the engine said. When that is an answer, nothing appears
// after it.
func Answered(attrs map[string]string, err error) {
	for _, is := range []func(error) bool{
		cerrdefs.IsNotFound, cerrdefs.IsConflict, cerrdefs.IsAlreadyExists, cerrdefs.IsInvalidArgument, cerrdefs.IsInternal,
		cerrdefs.IsPermissionDenied, cerrdefs.IsUnauthorized, cerrdefs.IsNotImplemented, cerrdefs.IsFailedPrecondition,
	} {
		if err == nil || is(err) {
			delete(attrs, attrAsked)
			return
		}
	}
}

// MayAppear reports whether the engine may yet make what it was asked for.
// begun says that it is known to be at work.
func MayAppear(attrs map[string]string, begun bool, now time.Time) bool {
	asked, err := time.Parse(time.RFC3339Nano, attrs[attrAsked])
	if err != nil {
		return false // not asked, or answered
	}
	limit := beginLimit
	if begun {
		limit = workLimit
	}
	since := now.Sub(asked)
	return since >= 0 && since < limit
}
