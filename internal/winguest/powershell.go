package winguest

import (
	"encoding/base64"
	"encoding/binary"
	"strings"
	"unicode/utf16"

	"ingot/internal/component"
)

// Encoded returns the command line that runs a PowerShell script without a
// file. It means the same to cmd.exe, to PowerShell and to a POSIX shell. The
// options come before those that this function sets. Command lines have at
// most 8191 characters in cmd.exe, which is about 3000 of the script.
func Encoded(interpreter, options, script string) string {
	units := utf16.Encode([]rune(script))
	raw := make([]byte, 0, 2*len(units))
	for _, u := range units {
		raw = binary.LittleEndian.AppendUint16(raw, u)
	}
	if options != "" {
		options = " " + options
	}
	// Without an output format, errors of an encoded command are XML.
	return interpreter + options + " -NonInteractive -OutputFormat Text -EncodedCommand " + base64.StdEncoding.EncodeToString(raw)
}

// Own returns the command line that runs a script of Ingot's own: nothing that
// the machine or the user has set up changes what it does.
func Own(script string) string {
	return Encoded("powershell", "-NoProfile -ExecutionPolicy Bypass -InputFormat Text", "$ProgressPreference = 'SilentlyContinue'; $ErrorActionPreference = 'Stop'\n"+script)
}

// ForCmd returns a command line that does what line does in cmd.exe, for the
// machine's own shell, whichever it is.
func (m Machine) ForCmd(line string) string {
	if m.Comm.Caps().Shell != component.PowerShell {
		return line
	}
	return Own("$info = New-Object Diagnostics.ProcessStartInfo\n" +
		"$info.FileName = $env:ComSpec\n" +
		"$info.Arguments = '/d /s /c \"' + " + Literal(line) + " + '\"'\n" +
		"$info.UseShellExecute = $false\n" +
		"$process = [Diagnostics.Process]::Start($info)\n" +
		"$process.WaitForExit()\n" +
		"exit $process.ExitCode\n")
}

// Literal makes a PowerShell string literal of s in which nothing is expanded.
func Literal(s string) string {
	var b strings.Builder
	b.WriteByte('\'')
	for _, r := range s {
		if singleQuote(r) {
			b.WriteRune(r)
		}
		b.WriteRune(r)
	}
	b.WriteByte('\'')
	return b.String()
}

// Escape makes s fit between double quotes in PowerShell, where it then stands
// for itself.
func Escape(s string) string {
	var b strings.Builder
	for _, r := range s {
		switch {
		case r == '$', r == '`', singleQuote(r), doubleQuote(r):
			b.WriteByte('`')
			b.WriteRune(r)
		case r == 0:
			b.WriteString("`0")
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// singleQuote reports whether PowerShell takes r for a single quote; it does
// so with the typographic ones too.
func singleQuote(r rune) bool { return r == '\'' || r >= '\u2018' && r <= '\u201b' }

// doubleQuote is the same for double quotes.
func doubleQuote(r rune) bool { return r == '"' || r >= '\u201c' && r <= '\u201e' }

// removal is the script that removes files and fails when one is still there.
func removal(paths []string) string {
	literals := make([]string, len(paths))
	for i, p := range paths {
		literals[i] = Literal(p)
	}
	return `$left = 0
foreach ($path in @(` + strings.Join(literals, ", ") + `)) {
  Remove-Item -LiteralPath $path -Force -ErrorAction SilentlyContinue
  if (Test-Path -LiteralPath $path) { $left = 1 }
}
exit $left
`
}

// RemoveWithPowerShell is the command line that removes files.
func RemoveWithPowerShell(paths []string) string { return Own(removal(paths)) }

// RemoveWithCmd is the command line that removes files where there may be no
// PowerShell.
func RemoveWithCmd(paths []string) string {
	lines := make([]string, 0, 2*len(paths))
	var check []string
	for _, p := range paths {
		quoted := `"` + strings.ReplaceAll(p, "/", `\`) + `"`
		lines = append(lines, "del /f /q "+quoted+" 2>nul")
		check = append(check, "if exist "+quoted+" exit 1")
	}
	return strings.Join(append(lines, check...), " & ")
}
