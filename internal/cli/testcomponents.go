//go:build !fakecloud

package cli

import "ingot/internal/component"

// addTestBuilders adds nothing: see the other file of this name.
func addTestBuilders(map[string]func() component.Builder) {}

func testReapers() []component.Reaper { return nil }
