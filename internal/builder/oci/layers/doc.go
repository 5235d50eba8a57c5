// Package layers reads and writes directory trees as tar streams: image
// layers with their whiteouts, and plain trees. All access goes through a
// directory that is opened once (Root), so that a symbolic link inside a tree
// is never followed out of it. It needs Linux 5.6 (openat2).
package layers
