package reap

import (
	"bufio"
	"os"
	"path/filepath"
	"strings"
)

// mountBelow returns a mount point at or below path, or "". Removing through
// one would delete what is not ours.
func mountBelow(path string) (string, error) {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real // the kernel knows mount points without symbolic links
	}
	f, err := os.Open("/proc/self/mountinfo")
	if os.IsNotExist(err) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	defer f.Close()
	unescape := strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)
	sc := bufio.NewScanner(f)
	for sc.Scan() {
		fields := strings.Fields(sc.Text())
		if len(fields) < 5 {
			continue
		}
		at := unescape.Replace(fields[4])
		if at == path || strings.HasPrefix(at, strings.TrimSuffix(path, "/")+"/") {
			return at, nil
		}
	}
	return "", sc.Err()
}
