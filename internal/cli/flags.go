package cli

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"ingot/internal/diag"
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

// flagError writes flag names in an error the way the help shows them, and of
// an unknown one which could have been meant.
func flagError(cmd *cobra.Command, err error) error {
	text := strings.ReplaceAll(err.Error(), "--", "-")
	var unknown *pflag.NotExistError
	if errors.As(err, &unknown) {
		var known []string
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			if !f.Hidden {
				known = append(known, f.Name)
			}
		})
		if near, ok := diag.Nearest(unknown.GetSpecifiedName(), known); ok {
			text += ". Did you mean -" + near + "?"
		}
	}
	return errors.New(text)
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
	const (
		long = "      --"
		gap  = "   " // between the flag and its text
	)
	type line struct{ flag, text string }
	var lines []line
	width := 0
	for text := range strings.Lines(flags.FlagUsagesWrapped(100)) {
		if !strings.HasPrefix(strings.TrimLeft(text, " "), "-") {
			lines = append(lines, line{"", strings.TrimLeft(text, " ")}) // the text goes on
			continue
		}
		flag, rest, _ := strings.Cut(text[len(long):], gap)
		if start := strings.TrimSuffix(text[:len(long)], "--"); strings.TrimSpace(start) != "" {
			flag = strings.TrimLeft(start, " ") + "-" + flag // "-h, -help"
		} else {
			flag = "-" + flag
		}
		width = max(width, len(flag))
		lines = append(lines, line{flag, strings.TrimLeft(rest, " ")})
	}
	var out strings.Builder
	for _, l := range lines {
		fmt.Fprintf(&out, "  %-*s%s%s", width, l.flag, gap, l.text)
	}
	return out.String()
}
