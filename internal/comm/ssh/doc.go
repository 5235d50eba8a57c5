// Package ssh reaches machines over SSH.
//
// A build has one connection, which carries every command and every file as a
// session of its own. When it is lost, the operation that was running fails
// with component.ErrDisconnected and the next one connects again.
//
// Where the machine has a POSIX shell, files travel through "cat" and trees
// through "tar", each in one session without a round trip per file. Elsewhere
// SFTP or the SCP protocol is used.
//
// A command that is cancelled is ended on the machine as well, together with
// its children; see kill.go for how they are found.
package ssh
