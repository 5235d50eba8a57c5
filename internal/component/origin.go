package component

import "context"

// OriginTeller is implemented by a Job that can tell what its image is made of
// before anything is made.
type OriginTeller interface {
	// Origin says what the image depends on besides the configuration. It is
	// called without Prepare, makes nothing, and fetches no more than digests.
	Origin(ctx context.Context, r Run) (Origins, error)
}

// Origins are what an image is made of.
type Origins struct {
	// Inputs are what it depends on, by the names that users see: "base image"
	// with the digest of one. Never secrets.
	Inputs map[string]string
	// Files are files and folders on this computer that it is made of.
	Files []string
	// Open says what else the image depends on that cannot be told beforehand, as
	// a clause such as "it mounts folders of this computer"; empty when there is
	// nothing.
	Open string
}
