// Ingot builds identical machine images for many platforms from one template.
package main

import (
	"os"

	"ingot/internal/cli"
)

func main() { os.Exit(cli.Main(os.Args, cli.OSStreams())) }
