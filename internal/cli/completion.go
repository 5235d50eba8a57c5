package cli

import (
	"fmt"

	"github.com/spf13/cobra"
)

func (a *app) completionCommand(root *cobra.Command) *cobra.Command {
	return &cobra.Command{
		Use:   "completion {bash|zsh|fish|powershell}",
		Short: "Print a completion script for a shell",
		Long: `Prints a script that completes commands, flags and template files.

  bash:        source <(ingot completion bash)
  zsh:         ingot completion zsh > "${fpath[1]}/_ingot"
  fish:        ingot completion fish | source
  powershell:  ingot completion powershell | Out-String | Invoke-Expression`,
		ValidArgs: []string{"bash", "zsh", "fish", "powershell"},
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usageError{fmt.Errorf("name one shell: bash, zsh, fish or powershell"), cmd}
			}
			switch args[0] {
			case "bash":
				return root.GenBashCompletionV2(a.streams.Out, true)
			case "zsh":
				return root.GenZshCompletion(a.streams.Out)
			case "fish":
				return root.GenFishCompletion(a.streams.Out, true)
			case "powershell":
				return root.GenPowerShellCompletionWithDesc(a.streams.Out)
			}
			return usageError{fmt.Errorf("%q is not a shell with completion: use bash, zsh, fish or powershell", args[0]), cmd}
		},
	}
}
