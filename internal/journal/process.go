package journal

import (
	"os"
	"time"
)

// ThisProcess describes the calling process for a new journal.
func ThisProcess(id string, started time.Time) RunInfo {
	host, _ := os.Hostname()
	return RunInfo{ID: id, PID: os.Getpid(), ProcessStart: processStart("self"), BootID: bootID(), Host: host, Started: started}
}
