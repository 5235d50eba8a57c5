package cli

import (
	"errors"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// normaliseFlags turns the single-dash long flags that Packer's users type
// (-var, -on-error=ask) into the double-dash form. What stands behind a flag as
// its value is never touched.
func normaliseFlags(root *cobra.Command, args []string) []string {
	known := longFlags(root)
	out := make([]string, 0, len(args))
	for i := 0; i < len(args); i++ {
		arg := args[i]
		if arg == "--" {
			return append(out, args[i:]...)
		}
		name, _, hasValue := strings.Cut(strings.TrimLeft(arg, "-"), "=")
		flag := known[name]
		if !strings.HasPrefix(arg, "-") || len(name) < 2 {
			out = append(out, arg)
			continue
		}
		// A mistyped name is no bundle of one-letter flags either.
		out = append(out, "--"+strings.TrimLeft(arg, "-"))
		if flag != nil && !hasValue && flag.NoOptDefVal == "" && i+1 < len(args) {
			i++
			out = append(out, args[i])
		}
	}
	return out
}

func longFlags(root *cobra.Command) map[string]*pflag.Flag {
	known := map[string]*pflag.Flag{"help": {Name: "help", NoOptDefVal: "true"}}
	note := func(f *pflag.Flag) { known[f.Name] = f }
	for _, c := range append([]*cobra.Command{root}, root.Commands()...) {
		c.Flags().VisitAll(note)
		c.PersistentFlags().VisitAll(note)
	}
	return known
}

// takeFlag removes a bool flag that may stand anywhere, up to "--".
func takeFlag(args []string, flag string) ([]string, bool) {
	end := slices.Index(args, "--")
	if end < 0 {
		end = len(args)
	}
	i := slices.Index(args[:end], flag)
	if i < 0 {
		return args, false
	}
	return slices.Delete(slices.Clone(args), i, i+1), true
}

// singleDash writes flag names in an error the way the help shows them.
func singleDash(err error) error {
	return errors.New(strings.ReplaceAll(err.Error(), "--", "-"))
}

// inputs collects -var and -var-file in the order in which they were given,
// since the later one wins among var files.
type inputs struct {
	vars     []string
	varFiles []string
	only     []string
	except   []string
}

func (in *inputs) register(flags *pflag.FlagSet) {
	in.registerVariables(flags)
	flags.StringArrayVar(&in.only, "only", nil, "only the builds whose name matches these comma-separated `globs`")
	flags.StringArrayVar(&in.except, "except", nil, "not the builds and post-processors that match these `globs`")
}

func (in *inputs) registerVariables(flags *pflag.FlagSet) {
	flags.StringArrayVar(&in.vars, "var", nil, "set a variable: `'name=value'`, may be repeated")
	flags.StringArrayVar(&in.varFiles, "var-file", nil, "set variables from a `file` (.pkrvars.hcl or .json), may be repeated")
}

// usageTemplate lists flags with one dash, as the documentation writes them.
const usageTemplate = `Usage: {{.UseLine}}
{{if .HasAvailableSubCommands}}
Commands:
{{range .Commands}}{{if .IsAvailableCommand}}  {{rpad .Name .NamePadding}}  {{.Short}}
{{end}}{{end}}{{end}}{{if .HasAvailableLocalFlags}}
Flags:
{{flagUsages .LocalFlags}}{{end}}{{if .HasExample}}
Examples:
{{.Example}}
{{end}}{{if .HasAvailableSubCommands}}
'{{.CommandPath}} COMMAND -help' explains a command. Flags work with one dash or two.
{{end}}`

// flagUsages renders flags with a single dash. A column for shorthands, which
// hardly any flag has, would only be in the way.
func flagUsages(flags *pflag.FlagSet) string {
	const cut = len("      --") - len("  -")
	lines := strings.SplitAfter(flags.FlagUsagesWrapped(100), "\n")
	for i, line := range lines {
		switch {
		case strings.HasPrefix(line, "      --"):
			lines[i] = "  -" + strings.TrimPrefix(line, "      --")
		case strings.HasPrefix(line, strings.Repeat(" ", cut)):
			lines[i] = line[cut:] // the text goes on
		default:
			// "-h, --help" keeps its shorthand, so the gap behind gives way.
			line = strings.Replace(line, ", --", ", -", 1)
			lines[i] = strings.Replace(line, strings.Repeat(" ", cut), " ", 1)
		}
	}
	return strings.Join(lines, "")
}
