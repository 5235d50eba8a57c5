//go:build !unix

package cli

import "testing"

// pluginCommands are commands of scripts that need plugins, which are shell scripts.
func pluginCommands(*testing.T) scriptCommands { return nil }
