package journal

import (
	"os"
	"time"

	"ingot/internal/procid"
)

// ThisProcess describes the calling process for a new journal.
func ThisProcess(id string, started time.Time) RunInfo {
	host, _ := os.Hostname()
	pid := os.Getpid()
	_, start := procid.Stat(pid)
	return RunInfo{ID: id, PID: pid, ProcessStart: start, BootID: procid.Boot(), Host: host, Started: started}
}
