package oci

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"ingot/internal/builder/oci/base"
	"ingot/internal/component"
)

var (
	_ component.Checkpointer = (*job)(nil)
	_ component.Saver        = (*machine)(nil)
)

// savedStep is a step in the list of a checkpoint.
type savedStep struct {
	// Layer is nil when it changed nothing.
	Layer *savedLayer `json:"layer,omitempty"`
}

// savedLayer is the layer of a step.
type savedLayer struct {
	// File is its name in the folder of the checkpoint.
	File   string          `json:"file"`
	Digest v1.Hash         `json:"digest"`
	DiffID v1.Hash         `json:"diff_id"`
	Size   int64           `json:"size"`
	Type   types.MediaType `json:"type"`
}

// BaseState implements component.Checkpointer.
func (j *job) BaseState(context.Context, component.Run) (component.BaseState, error) {
	c := j.image.Config
	image, err := json.Marshal(map[string]any{"layers": c.RootFS.DiffIDs, "config": c.Config, "os": c.OS, "architecture": c.Architecture, "variant": c.Variant})
	if err != nil {
		return component.BaseState{}, fmt.Errorf("oci: %w", err)
	}
	state := component.BaseState{
		Inputs: map[string]string{"base image": string(image), "users of the sandbox": j.ids.Key(), "SOURCE_DATE_EPOCH": strconv.FormatInt(j.p.clamp(), 10)},
		Later: []string{
			"pull", "refresh", "insecure", "login_username", "login_password",
			"output", "format", "tag", "export", "cmd", "entrypoint", "labels", "workdir", "user", "ports", "volumes", "stop_signal", "author",
		},
	}
	for _, m := range j.p.Mounts {
		if m.ReadOnly != nil && !*m.ReadOnly {
			state.Volatile = "it may write to " + m.Source + " (mount)"
		}
		state.Files = append(state.Files, m.Source)
	}
	return state, nil
}

// HasCheckpoint implements component.CheckpointHolder.
func (j *job) HasCheckpoint(_ context.Context, c component.Checkpoint) (bool, error) {
	return hasCheckpoint(c)
}

// SaveCheckpoint implements component.Saver. The steps are sealed: what is saved are
// their layers, which the image needs in any case.
func (m *machine) SaveCheckpoint(ctx context.Context, _ component.Run, to component.CheckpointPlace) (component.SavedState, error) {
	none := component.SavedState{}
	steps, err := m.diffs.wait(ctx)
	if err != nil {
		return none, fmt.Errorf("oci: %w", err)
	}
	list := []savedStep{}
	for i, s := range steps[m.saved:] {
		if s.neutral {
			if s.blob != nil {
				return none, fmt.Errorf("oci: %s was to leave nothing behind, but has a layer", s.by)
			}
			continue
		}
		saved := savedStep{}
		if s.blob != nil {
			if saved.Layer, err = saveLayer(s, filepath.Join(to.Dir, "layer-"+strconv.Itoa(i))); err != nil {
				return none, fmt.Errorf("oci: save layer of %s: %w", s.by, err)
			}
		}
		list = append(list, saved)
	}
	data, err := json.Marshal(list)
	if err != nil {
		return none, fmt.Errorf("oci: %w", err)
	}
	if err := os.WriteFile(filepath.Join(to.Dir, stepsFile), data, 0o600); err != nil {
		return none, fmt.Errorf("oci: %w", err)
	}
	m.saved = len(steps)
	return component.SavedState{OnBase: true}, nil
}

// saveLayer gives the file of a layer a second name. Nobody writes to it any more.
func saveLayer(s *sealed, path string) (*savedLayer, error) {
	out := &savedLayer{File: filepath.Base(path)}
	var err [4]error
	out.Digest, err[0] = s.blob.Digest()
	out.DiffID, err[1] = s.blob.DiffID()
	out.Size, err[2] = s.blob.Size()
	out.Type, err[3] = s.blob.MediaType()
	if err := errors.Join(err[:]...); err != nil {
		return nil, err
	}
	if os.Link(s.file, path) == nil {
		return out, syncFile(path)
	}
	src, openErr := os.Open(s.file)
	if openErr != nil {
		return nil, openErr
	}
	defer src.Close()
	dst, openErr := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if openErr != nil {
		return nil, openErr
	}
	_, copyErr := io.Copy(dst, src)
	return out, errors.Join(copyErr, dst.Sync(), dst.Close())
}

func syncFile(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// Resume implements component.Checkpointer: the layers are unpacked on top of the
// base image.
func (j *job) Resume(ctx context.Context, _ component.Run, from component.Checkpoint) (component.Machine, error) {
	m := j.newMachine()
	if err := m.restore(ctx, from); err != nil {
		// Unpacked layers go with the folder of the build.
		if ctx.Err() == nil {
			err = fmt.Errorf("%w: %w", component.ErrCheckpointGone, err)
		}
		return nil, fmt.Errorf("oci: start from a checkpoint: %w", err)
	}
	return j.boot(ctx, m)
}

// restore adds the steps of a checkpoint, and first those of what it stands on.
func (m *machine) restore(ctx context.Context, from component.Checkpoint) error {
	if from.Base != nil {
		if err := m.restore(ctx, *from.Base); err != nil {
			return err
		}
	}
	list, err := readSteps(filepath.Join(from.Dir, stepsFile))
	if err != nil {
		return err
	}
	for _, saved := range list {
		s := &sealed{always: true}
		if l := saved.Layer; l != nil {
			s.file = filepath.Join(from.Dir, filepath.Base(l.File))
			s.blob = base.NewBlob(s.file, l.Digest, l.DiffID, l.Size, l.Type)
			if err := m.unpack(ctx, s.blob); err != nil {
				return fmt.Errorf("%s: %w", s.file, err)
			}
		}
		m.steps++
		m.restored = append(m.restored, s)
	}
	return nil
}

// maxStepsFile bounds the list of steps.
const maxStepsFile = 16 << 20

func readSteps(path string) ([]savedStep, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var list []savedStep
	if err := json.NewDecoder(io.LimitReader(f, maxStepsFile)).Decode(&list); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return list, nil
}

// unpack puts a saved layer on top of what there is.
func (m *machine) unpack(ctx context.Context, b *base.Blob) error {
	j := m.job
	dest, err := os.MkdirTemp(j.state, "saved-")
	if err != nil {
		return err
	}
	// As Rootfs has them: what others of this computer may not read is below.
	if err := os.Chmod(dest, 0o755); err != nil {
		return err
	}
	in, err := b.Uncompressed()
	if err != nil {
		return err
	}
	sum := sha256.New()
	_, err = j.box.Unpack(ctx, j.state, m.lowers, dest, io.TeeReader(in, sum))
	if err == nil {
		_, err = io.Copy(sum, in) // what is behind the archive's end
	}
	if err = errors.Join(err, in.Close()); err != nil {
		return err
	}
	want, err := b.DiffID()
	if err != nil {
		return err
	}
	if got := fmt.Sprintf("%x", sum.Sum(nil)); got != want.Hex {
		return fmt.Errorf("its contents are sha256:%s, not %s", got, want)
	}
	m.lowers = append([]string{filepath.Join(dest, "d")}, m.lowers...)
	return nil
}
