package procid

import (
	"bytes"
	"os"
	"strconv"
)

// Boot tells the start times of one boot of the machine from those of the next; "" when
// the system does not say.
func Boot() string {
	data, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return string(bytes.TrimSpace(data))
}

// Stat returns the state letter of a process and its start time, in clock ticks since
// boot; 0 and "" when there is none, or the system does not say.
func Stat(pid int) (state byte, start string) {
	data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return 0, ""
	}
	// The state is field 3 and the start field 22. The name of the command, field 2,
	// may hold anything, so they are counted from its end.
	fields := bytes.Fields(data[bytes.LastIndexByte(data, ')')+1:])
	if len(fields) < 20 {
		return 0, ""
	}
	return fields[0][0], string(fields[19])
}
