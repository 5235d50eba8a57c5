package oci

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/zclconf/go-cty/cty"

	"ingot/internal/builder/oci/sandbox"
	"ingot/internal/component"
)

// machine is the sandbox with the image being built.
type machine struct {
	job    *job
	id     string
	caps   []int
	mounts []sandbox.Mount

	lowers []string // topmost first: sealed steps, then the base
	steps  int      // uppers so far, which gives the current one its name
	diffs  *diffs
	saved  int // how many of the steps are in the checkpoint that it stands on

	restored []*sealed // what it was resumed from has them; SkipStep gives them names
}

// Facts has ID, which tells this build's sandbox from others.
func (m *machine) Facts() map[string]cty.Value {
	return map[string]cty.Value{"ID": cty.StringVal(m.id)}
}

// Endpoint is never asked, since the machine brings its own communicator.
func (m *machine) Endpoint(context.Context) (component.Endpoint, error) {
	return component.Endpoint{}, errors.New("oci: a sandbox has no network address")
}

// Dial returns the communicator. It costs nothing and may be used repeatedly.
func (m *machine) Dial(context.Context, component.Run) (component.Communicator, error) {
	return newCommunicator(m), nil
}

func (m *machine) layout() sandbox.Layout {
	j := m.job
	step := filepath.Join(j.state, "s"+strconv.Itoa(m.steps))
	return sandbox.Layout{
		State: j.state, Lowers: m.lowers, BaseLowers: len(j.rootfs),
		Upper: filepath.Join(step, "d"), Work: filepath.Join(step, "w"), Init: filepath.Join(j.state, "init"),
		Hostname: j.p.Hostname, Capabilities: m.caps, Mounts: m.mounts,
		Resolv: filepath.Join(j.state, "resolv.conf"), Hosts: filepath.Join(j.state, "hosts"),
	}
}

func (m *machine) attach(ctx context.Context) error { return m.job.box.Attach(ctx, m.layout()) }

// SealStep makes what the provisioner changed a layer. The layer is written
// while the next provisioner runs.
func (m *machine) SealStep(ctx context.Context, r component.Run, step component.StepInfo) error {
	by := createdBy(step)
	if err := m.seal(ctx, r, by, true); err != nil {
		return err
	}
	m.diffs.steps[len(m.diffs.steps)-1].neutral = step.Neutral
	if err := m.attach(ctx); err != nil {
		return fmt.Errorf("oci: attach file system after %s: %w", by, err)
	}
	return nil
}

// createdBy is what the image says of a provisioner.
func createdBy(step component.StepInfo) string {
	by := "ingot provisioner " + strconv.Itoa(step.Index+1) + ": " + step.Type
	if step.Name != "" && step.Name != step.Type {
		by += " " + step.Name
	}
	return by
}

// SkipStep implements component.StepSkipper.
func (m *machine) SkipStep(step component.StepInfo) {
	s := &sealed{always: true, neutral: true}
	if !step.Neutral && len(m.restored) > 0 {
		s, m.restored = m.restored[0], m.restored[1:]
	}
	s.by = createdBy(step)
	m.diffs.steps = append(m.diffs.steps, s)
	m.saved = len(m.diffs.steps)
}

// seal ends the current step. A step that changed nothing has an entry in the
// history only if asked for.
func (m *machine) seal(ctx context.Context, r component.Run, by string, always bool) error {
	l := m.layout()
	strays, changed, err := m.job.box.Detach(ctx)
	if err != nil {
		return fmt.Errorf("oci: seal %s: %w", by, err)
	}
	if len(strays) > 0 {
		r.Say("Ended processes that the step left running: " + strings.Join(strays, ", "))
	}
	m.steps++
	if !changed {
		m.diffs.none(by, always)
		return nil
	}
	m.diffs.start(ctx, m.job, by, always, l.LowersWithInit(), l.Upper)
	m.lowers = append([]string{l.Upper}, m.lowers...)
	return nil
}
