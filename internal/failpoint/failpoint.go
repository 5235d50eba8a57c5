// Package failpoint names the moments at which tests let a program fail. In a
// program that is built without the tag failpoints a moment costs nothing and
// nothing can be made to happen at it; the environment is not even read.
//
// docs/reliability.md lists the names and what can be made to happen.
package failpoint

// Variable is the environment variable that says what is to happen, in programs
// built with the tag failpoints:
//
//	NAME=ACTION         each time that NAME is reached
//	NAME:N=ACTION       the N-th time
//
// Several are separated by commas.
const Variable = "INGOT_FAILPOINTS"

// CountVariable is the environment variable with the name of a file, to which such a
// program adds a line with the name of each moment that it reaches.
const CountVariable = "INGOT_FAILPOINTS_SEEN"

// The moments.
const (
	// JournalCreate is when the folder of a run is there and its journal is not.
	JournalCreate = "journal.create"
	// JournalBefore is before a record is written.
	JournalBefore = "journal.before"
	// JournalDisk is before each single thing that is done to the disk for the
	// journal: a folder or file made, written, synced or removed.
	JournalDisk = "journal.disk"
	// JournalSync is before written records are made to survive a power cut.
	JournalSync = "journal.sync"
	// JournalAfter is when a record survives a power cut.
	JournalAfter = "journal.after"
	// JournalRemove is when the journal of a run is gone and its folder is not.
	JournalRemove = "journal.remove"
	// ProviderCreate is before a resource is made.
	ProviderCreate = "provider.create"
	// ProviderCreated is when it was made, and nobody has written that down.
	ProviderCreated = "provider.created"
	// ProviderRelease is before a resource is removed.
	ProviderRelease = "provider.release"
	// ProviderReleased is when it was removed, and nobody has written that down.
	ProviderReleased = "provider.released"
	// ProviderCall is before a request is sent to the service of a provider.
	ProviderCall = "provider.call"
	// ProviderCalled is when the answer is there, and nobody has read it.
	ProviderCalled = "provider.called"
)
