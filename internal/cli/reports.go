package cli

import (
	"os"
	"path/filepath"
	"time"
)

// reportAge is how long files that explain a failure are kept in the state
// folder.
const reportAge = 14 * 24 * time.Hour

// reportDir is where a run puts files that explain a failure: beside the log
// file when there is one, and otherwise in a folder of its own in the state
// folder, from which those of old runs are removed.
func (a *app) reportDir(d dirs, run string) string {
	if log := firstOf(a.getenv("INGOT_LOG_PATH"), a.getenv("PACKER_LOG_PATH")); log != "" {
		if abs, err := filepath.Abs(log); err == nil {
			return filepath.Dir(abs)
		}
	}
	all := filepath.Join(d.State, "reports")
	entries, _ := os.ReadDir(all) // a folder that is not there has nothing old in it
	for _, e := range entries {
		if info, err := e.Info(); err == nil && time.Since(info.ModTime()) > reportAge {
			_ = os.RemoveAll(filepath.Join(all, e.Name())) // the next run tries again
		}
	}
	return filepath.Join(all, run)
}
