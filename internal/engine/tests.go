package engine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"ingot/internal/component"
	"ingot/internal/plan"
)

// testError says which tests of an artifact failed. Nothing is published then, and
// nothing is made again: another machine of the same image would fail as well.
type testError struct {
	failed []string
	total  int
	cause  error
}

func (e testError) Error() string {
	return fmt.Sprintf("%d of %d tests of the artifact failed (%s), so that no post-processor was run: %v", len(e.failed), e.total, strings.Join(e.failed, ", "), e.cause)
}

func (e testError) Unwrap() error { return e.cause }

// test runs the tests of the build, each on a machine of its own that is started
// from the artifact. All of them run, although one has failed. dir is the build's
// private folder.
func (b *build) test(ctx context.Context, artifact *component.Artifact, dir string) error {
	if len(b.plan.Tests) == 0 {
		return nil
	}
	if artifact == nil {
		return errors.New("there is no artifact that could be tested")
	}
	failure := testError{total: len(b.plan.Tests)}
	var errs []error
	for i, t := range b.plan.Tests {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		err := b.runTest(ctx, t, artifact, filepath.Join(dir, fmt.Sprintf("test-%d", i)))
		if err == nil {
			continue
		}
		failure.failed = append(failure.failed, fmt.Sprintf("%q", t.Name))
		errs = append(errs, err)
		if b.leave || errors.As(err, new(finalError)) {
			break
		}
	}
	if cause := context.Cause(ctx); cause != nil {
		return errors.Join(append(errs, cause)...)
	}
	if len(errs) == 0 {
		return nil
	}
	failure.cause = errors.Join(errs...)
	return failure
}

// runTest runs one test in a folder of its own, and releases its machine.
func (b *build) runTest(ctx context.Context, t *plan.Test, artifact *component.Artifact, dir string) (err error) {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return fmt.Errorf("working directory of the test: %w", err)
	}
	// Its machine is another one, and so are what is known of it and what
	// belongs to it.
	m := &build{run: b.run, plan: b.plan, book: b.book, facts: b.run.facts()}
	m.rt = m.makeRun(b.rt.Events, dir)
	begin := b.o.Clock.Now()
	b.rt.Emit(component.PhaseStarted{Phase: component.PhaseTest, Test: t.Name})
	err = m.checkArtifact(ctx, t, artifact)
	b.rt.Emit(component.PhaseEnded{Phase: component.PhaseTest, Test: t.Name, Duration: b.o.Clock.Now().Sub(begin), Err: err})
	if err != nil {
		m.afterFailure(ctx, err)
	}
	b.leave = b.leave || m.leave
	return errors.Join(err, b.release())
}

// checkArtifact starts the artifact and runs the checks.
func (b *build) checkArtifact(ctx context.Context, t *plan.Test, artifact *component.Artifact) error {
	bootable, ok := b.plan.Job.(component.Bootable)
	if !ok {
		return fmt.Errorf("the builder %s cannot start what it makes", b.plan.Source.Type)
	}
	job, err := bootable.FromArtifact(artifact)
	if err != nil {
		return err
	}
	defer b.end()
	if err := job.Prepare(ctx, b.rt); err != nil {
		return err
	}
	machine, err := job.Boot(ctx, b.rt)
	if err != nil {
		if machine != nil {
			b.diagnose(ctx, machine)
		}
		return err
	}
	comm, err := b.connect(ctx, machine)
	if err != nil {
		b.diagnose(ctx, machine)
		return err
	}
	defer comm.Close()
	return b.check(ctx, t, comm)
}

// check runs the checks of a test up to the first that fails, or to the last of
// those with continue_on_error: such a failure fails the test at its end.
func (b *build) check(ctx context.Context, t *plan.Test, comm component.Communicator) error {
	var failed []string
	for i, step := range t.Checks {
		clean, err := b.provisionStep(ctx, step, comm)
		if err != nil {
			for _, rest := range t.Checks[i+1:] {
				b.inStep(rest.Addr).Emit(component.StepSkipped{Reason: nth(step) + " failed"})
			}
			return b.provisionFailed(comm, err)
		}
		if !clean {
			failed = append(failed, nth(step))
		}
	}
	if len(failed) > 0 {
		return b.provisionFailed(comm, fmt.Errorf("%s failed", strings.Join(failed, " and ")))
	}
	return context.Cause(ctx)
}
