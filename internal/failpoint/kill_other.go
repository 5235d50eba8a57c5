//go:build failpoints && !unix

package failpoint

import "os"

// killSelf ends the process without any clean-up.
func killSelf() {
	if p, err := os.FindProcess(os.Getpid()); err == nil {
		_ = p.Kill()
	}
	select {}
}

// stopSelf has no counterpart on this system.
func stopSelf() {}
