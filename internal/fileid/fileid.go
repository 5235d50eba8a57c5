// Package fileid tells one file from another one that later has its name, or
// its inode number. A reaper that removes by path needs that: between a crash
// and the reap somebody may have put something else there.
package fileid

// Attr is the attribute of a file or folder resource that holds its identity.
// A resource with it is removed only while what is at its path is the same.
const Attr = "identity"
