package journal

import (
	"bytes"
	"os"
	"strings"
)

// processStart is field 22 of /proc/PID/stat, in clock ticks since boot. The
// command name in field 2 may hold anything, so fields are counted from the
// last parenthesis.
func processStart(pid string) string {
	data, err := os.ReadFile("/proc/" + pid + "/stat")
	if err != nil {
		return ""
	}
	fields := bytes.Fields(data[bytes.LastIndexByte(data, ')')+1:])
	if len(fields) < 20 {
		return ""
	}
	return string(fields[19])
}

func bootID() string {
	data, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(data))
}
