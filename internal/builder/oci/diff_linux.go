package oci

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"sync"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"ingot/internal/builder/oci/base"
)

// sealed is a finished step: a layer, or none when it changed nothing.
type sealed struct {
	by     string
	always bool // has an entry in the history even without a layer
	// neutral: the step cannot have changed anything, and is not saved.
	neutral bool
	blob    *base.Blob
	file    string // where the blob is
	err     error
}

// diffs writes layers in the background, one at a time.
type diffs struct {
	steps []*sealed
	slot  chan struct{}
	wg    sync.WaitGroup
}

func newDiffs() *diffs { return &diffs{slot: make(chan struct{}, 1)} }

func (d *diffs) none(by string, always bool) {
	d.steps = append(d.steps, &sealed{by: by, always: always})
}

// start begins writing the layer that upper is over lowers.
func (d *diffs) start(ctx context.Context, j *job, by string, always bool, lowers []string, upper string) {
	file := filepath.Join(j.state, "layer"+strconv.Itoa(len(d.steps)))
	s := &sealed{by: by, always: always, file: file}
	d.steps = append(d.steps, s)
	// The step may be over, and its context with it, before the layer is.
	ctx = context.WithoutCancel(ctx)
	d.wg.Go(func() {
		d.slot <- struct{}{}
		defer func() { <-d.slot }()
		s.blob, s.err = j.writeLayer(ctx, lowers, upper, file)
	})
}

// wait returns the steps when all layers have been written.
func (d *diffs) wait(ctx context.Context) ([]*sealed, error) {
	done := make(chan struct{})
	go func() { d.wg.Wait(); close(done) }()
	select {
	case <-done:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	var err error
	for _, s := range d.steps {
		if s.err != nil {
			err = errors.Join(err, fmt.Errorf("write layer of %s: %w", s.by, s.err))
		}
	}
	return d.steps, err
}

// writeLayer archives and compresses a step; nil when nothing has changed.
func (j *job) writeLayer(ctx context.Context, lowers []string, upper, file string) (*base.Blob, error) {
	f, err := os.Create(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	c := j.compression()
	packed := &digester{w: f, sum: sha256.New()}
	z, err := c.Writer(packed)
	if err != nil {
		return nil, err
	}
	plain := &digester{w: z, sum: sha256.New()}
	entries, err := j.box.Diff(ctx, j.state, lowers, upper, j.p.clamp(), plain)
	if err = errors.Join(err, z.Close(), f.Close()); err != nil {
		return nil, err
	}
	if entries == 0 {
		return nil, os.Remove(file)
	}
	return base.NewBlob(file, packed.digest(), plain.digest(), packed.n, c.MediaType()), nil
}

// clamp is the latest time in layers, in seconds, or -1.
func (p *plan) clamp() int64 {
	if p.epoch == nil {
		return -1
	}
	return p.epoch.Unix()
}

// digester passes data on and keeps its digest and length.
type digester struct {
	w   io.Writer
	sum hash.Hash
	n   int64
}

func (d *digester) Write(p []byte) (int, error) {
	n, err := d.w.Write(p)
	d.sum.Write(p[:n])
	d.n += int64(n)
	return n, err
}

func (d *digester) digest() v1.Hash {
	return v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(d.sum.Sum(nil))}
}
