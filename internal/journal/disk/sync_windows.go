package disk

// ignoreUnsupported: folders cannot be opened for syncing on Windows.
func ignoreUnsupported(error) error { return nil }
