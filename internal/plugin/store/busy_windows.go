package store

// busy reports whether a program could not be started because it is open for
// writing.
func busy(error) bool { return false }
