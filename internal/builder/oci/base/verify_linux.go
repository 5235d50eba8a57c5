package base

import (
	"fmt"
	"hash"
	"io"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// verified fails at the end of a stream that does not have the digest.
type verified struct {
	f    io.ReadCloser
	sum  hash.Hash
	want v1.Hash
}

func (v *verified) Read(p []byte) (int, error) {
	n, err := v.f.Read(p)
	v.sum.Write(p[:n])
	if err == io.EOF {
		if got := hashOf(v.sum); got != v.want {
			return n, fmt.Errorf("content has digest %s, not %s", got, v.want)
		}
	}
	return n, err
}

func (v *verified) Close() error { return v.f.Close() }
