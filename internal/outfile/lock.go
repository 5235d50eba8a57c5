package outfile

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"ingot/internal/component"
)

// lockWait is how long Lock waits for another holder.
const lockWait = time.Minute

// errHeld means that somebody else holds the lock now.
var errHeld = errors.New("held by another process")

// Lock takes the exclusive lock of the file path: PATH.lock, locked through
// the system, which frees it when the holder ends, however it ends. It waits
// up to a minute and fails when the lock is still held then. unlock also
// removes the lock file.
func Lock(ctx context.Context, r component.Run, path string) (unlock func() error, err error) {
	return lockWithin(ctx, r, path, lockWait)
}

func lockWithin(ctx context.Context, r component.Run, path string, wait time.Duration) (func() error, error) {
	name := path + ".lock"
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	begin, announced := r.Clock.Now(), false
	for delay := 2 * time.Millisecond; ; delay = min(2*delay, 50*time.Millisecond) {
		f, err := tryLock(name)
		if err == nil {
			return func() error { return unlock(f, name) }, nil
		}
		elapsed := r.Clock.Now().Sub(begin)
		switch {
		case !errors.Is(err, errHeld):
			return nil, fmt.Errorf("lock %s: %w", path, err)
		case elapsed >= wait:
			return nil, fmt.Errorf("lock %s: %w, still after %s", path, errHeld, wait)
		case elapsed >= time.Second && !announced:
			announced = true
			r.Emit(component.Waiting{For: "lock " + name, Detail: errHeld.Error(), Elapsed: elapsed})
		}
		if err := r.Clock.Sleep(ctx, delay); err != nil {
			return nil, fmt.Errorf("lock %s: %w", path, err)
		}
	}
}
