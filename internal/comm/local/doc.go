// Package local runs commands on this machine as if it were a remote one, on
// systems with a POSIX shell.
package local
