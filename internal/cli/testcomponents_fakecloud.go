//go:build fakecloud

package cli

import (
	"ingot/internal/component"
	"ingot/internal/testkit/fakecloud"
)

// addTestBuilders adds the builder of the cloud that crash tests use.
func addTestBuilders(builders map[string]func() component.Builder) {
	builders[fakecloud.Name] = func() component.Builder { return fakecloud.New(fakecloud.SystemDeps()) }
}

func testReapers() []component.Reaper {
	return []component.Reaper{fakecloud.NewReaper(fakecloud.SystemDeps())}
}
