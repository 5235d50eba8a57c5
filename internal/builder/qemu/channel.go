package qemu

import (
	"context"
	"net"
	"os"
)

// channel is a line between QEMU and this process.
type channel struct {
	// argument is the value of -chardev that leads here, without an id.
	argument string
	// file is what QEMU has to inherit; nil for nothing.
	file *os.File
	// connect returns our end. It waits until QEMU has opened its own, or ended
	// is closed.
	connect func(ctx context.Context, ended <-chan struct{}) (net.Conn, error)
	// close frees what connect has not handed out, and file.
	close func()
}
