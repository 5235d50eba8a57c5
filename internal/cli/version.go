package cli

import (
	"fmt"
	"runtime"
	"strings"

	"github.com/spf13/cobra"
)

func versionText() string {
	return fmt.Sprintf("Ingot %s (understands Packer %s templates; %s, %s/%s)",
		version, packerVersion, runtime.Version(), runtime.GOOS, runtime.GOARCH)
}

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !a.machineReadable {
				_, err := fmt.Fprintln(a.streams.Out, versionText())
				return err
			}
			base, pre, _ := strings.Cut(strings.TrimPrefix(version, "v"), "-")
			// The middle name is misspelt in Packer, and scripts rely on it.
			for _, record := range [][2]string{{"version", base}, {"version-prelease", pre}, {"version-commit", commit()}} {
				if _, err := fmt.Fprintf(a.streams.Out, "%d,,%s,%s\n", a.start.Unix(), record[0], record[1]); err != nil {
					return err
				}
			}
			return nil
		},
	}
}
