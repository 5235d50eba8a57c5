package hostproc

import (
	"bytes"
	"os"
	"strconv"
)

// bootID tells the start times of one boot from those of the next.
func bootID() string {
	data, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return string(bytes.TrimSpace(data))
}

// startTime is field 22 of /proc/PID/stat. Fields are counted from the end of
// the command's name, which may hold anything.
func startTime(pid int) string {
	data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return ""
	}
	fields := bytes.Fields(data[bytes.LastIndexByte(data, ')')+1:])
	if len(fields) < 20 {
		return ""
	}
	return string(fields[19])
}
