//go:build unix

package winrmd

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// This is a very small part of PowerShell: what the wrappers of the provisioners
// consist of, and enough to write scripts for tests.

// errThrown is what catch catches.
var errThrown = errors.New("thrown")

// exited ends a script.
type exited int

func (e exited) Error() string { return fmt.Sprintf("exit %d", int(e)) }

// powershellScript runs a script and returns its exit code.
func (c *console) powershellScript(text string) int {
	err := c.statements(text)
	var code exited
	switch {
	case errors.As(err, &code):
		return int(code)
	case err != nil:
		return c.complain("%s", err)
	case c.failed:
		return 1 // whatever the exit code of the program was
	}
	return 0
}

func (c *console) statements(text string) error {
	if c.deep++; c.deep > 20 {
		return errors.New("scripts that run each other")
	}
	defer func() { c.deep-- }()
	all, err := split(text)
	if err != nil {
		return err
	}
	for _, s := range all {
		if err := c.ctx.Err(); err != nil {
			return err
		}
		if err := c.statement(s); err != nil {
			return err
		}
	}
	return nil
}

// split finds the statements: they end with a line or a semicolon, but not
// within quotes or braces.
func split(text string) ([]string, error) {
	var out []string
	var b strings.Builder
	runes := []rune(text)
	depth := 0
	for i := 0; i < len(runes); i++ {
		r := runes[i]
		switch {
		case r == '#' && (i == 0 || strings.ContainsRune(" \t\r\n;{", runes[i-1])):
			for i+1 < len(runes) && runes[i+1] != '\n' {
				i++
			}
			continue
		case singleQuote(r) || doubleQuote(r):
			end := closing(runes, i)
			if end < 0 {
				return nil, fmt.Errorf("the string %s has no end", string(runes[i:]))
			}
			b.WriteString(string(runes[i : end+1]))
			i = end
			continue
		case r == '{', r == '(':
			depth++
		case r == '}', r == ')':
			depth--
		case (r == '\n' || r == ';') && depth == 0:
			out = append(out, b.String())
			b.Reset()
			continue
		}
		b.WriteRune(r)
	}
	if depth != 0 {
		return nil, errors.New("braces that do not match")
	}
	out = append(out, b.String())
	kept := out[:0]
	for _, s := range out {
		if s = strings.TrimSpace(s); s != "" {
			kept = append(kept, s)
		}
	}
	return kept, nil
}

// closing is where the string ends that begins at i; -1 for nowhere.
func closing(runes []rune, i int) int {
	same := singleQuote
	if doubleQuote(runes[i]) {
		same = doubleQuote
	}
	for j := i + 1; j < len(runes); j++ {
		switch {
		case doubleQuote(runes[i]) && runes[j] == '`':
			j++
		case same(runes[j]) && j+1 < len(runes) && same(runes[j+1]):
			j++
		case same(runes[j]):
			return j
		}
	}
	return -1
}

var (
	assignment = regexp.MustCompile(`(?s)^\$(?:\{env:([^}]+)\}|env:(\w+)) *= *(.+)$`)
	tryCatch   = regexp.MustCompile(`(?s)^try *\{(.*)\} *catch *\{(.*)\}$`)
	content    = regexp.MustCompile(`(?s)^Set-Content -LiteralPath (.+) -Value (.+)$`)
	errorLine  = regexp.MustCompile(`(?s)^\[Console\]::Error\.WriteLine\((.+)\)$`)
)

func (c *console) statement(s string) error {
	word, rest, _ := strings.Cut(s, " ")
	rest = strings.TrimSpace(rest)
	if m := assignment.FindStringSubmatch(s); m != nil {
		value, err := c.value(m[3])
		c.env[m[1]+m[2]] = value
		return err
	}
	if m := tryCatch.FindStringSubmatch(s); m != nil {
		err := c.statements(m[1])
		if err == nil || errors.As(err, new(exited)) || c.ctx.Err() != nil {
			return err
		}
		c.env["?error"] = strings.TrimPrefix(err.Error(), errThrown.Error()+": ")
		return c.statements(m[2])
	}
	if m := content.FindStringSubmatch(s); m != nil {
		return c.write(m[1], m[2])
	}
	if m := errorLine.FindStringSubmatch(s); m != nil {
		text, err := c.value(m[1])
		c.complain("%s", text)
		return err
	}
	switch {
	case word == "Write-Output", word == "Write-Host":
		text, err := c.value(rest)
		c.say("%s", text)
		return err
	case word == ".", word == "&":
		return c.call(rest)
	case s == "exit [int](-not $ok)":
		if c.env["?ok"] == "false" {
			return exited(1)
		}
		return exited(0)
	case word == "exit":
		return c.exit(rest)
	case s == "if ($global:LASTEXITCODE) { exit $global:LASTEXITCODE }":
		if c.lastExit != 0 {
			return exited(c.lastExit)
		}
		return nil
	case word == "throw":
		text, err := c.value(rest)
		return errors.Join(err, fmt.Errorf("%w: %s", errThrown, text))
	case word == "Start-Sleep":
		return c.sleep(rest)
	case s == "whoami":
		c.say("%s", c.user)
		return nil
	case word == "cmd":
		code, err := strconv.Atoi(strings.TrimPrefix(rest, "/c exit "))
		c.ended(code)
		return err
	case word == "powershell", word == "pwsh":
		c.ended((&console{s: c.s, ctx: c.ctx, user: c.user, env: c.env, in: c.in, out: c.out, err: c.err, deep: c.deep}).powershell(s))
		return nil
	case word == "shutdown", word == "del":
		if word == "del" {
			return errors.New("a parameter cannot be found that matches parameter name 'f'")
		}
		go c.s.restart() // it answers first
		c.ended(0)
		return nil
	case s == "$ok = $?":
		c.env["?ok"] = strconv.FormatBool(!c.failed)
		return nil
	case s == "if ($LASTEXITCODE) { exit $LASTEXITCODE }":
		if c.lastExit != 0 {
			return exited(c.lastExit)
		}
		return nil
	case word == "echo":
		for _, w := range strings.Fields(rest) {
			text, err := c.value(w)
			if err != nil {
				return err
			}
			c.say("%s", text)
		}
		return nil
	case word == "$ProgressPreference", word == "$ErrorActionPreference", word == "Set-PSDebug":
		return nil
	case strings.HasPrefix(s, "$null = (Get-Command -Name "):
		path := literals(s)[0]
		if _, err := os.Stat(c.s.Path(path)); err != nil {
			return fmt.Errorf("%w: the term '%s' is not recognized", errThrown, path)
		}
		return nil
	}
	return fmt.Errorf("this PowerShell does not know: %s", s)
}

// ended notes the exit code of a program.
func (c *console) ended(code int) { c.lastExit, c.failed = code, code != 0 }

func (c *console) write(path, text string) error {
	to, err := c.value(path)
	if err != nil {
		return err
	}
	value, err := c.value(text)
	if err != nil {
		return err
	}
	return os.WriteFile(c.s.Path(to), []byte(value+"\r\n"), 0o600)
}

// call runs another script, as . and & do.
func (c *console) call(path string) error {
	name, err := c.value(path)
	if err != nil {
		return err
	}
	text, err := os.ReadFile(c.s.Path(name))
	if err != nil {
		return fmt.Errorf("%w: the term '%s' is not recognized", errThrown, name)
	}
	err = c.statements(strings.TrimPrefix(string(text), "\ufeff"))
	var code exited
	if errors.As(err, &code) {
		// The end of a script is not the end of the one that calls it.
		c.lastExit = int(code)
		return nil
	}
	return err
}

func (c *console) exit(text string) error {
	if strings.EqualFold(text, "$LastExitCode") {
		return exited(c.lastExit)
	}
	code, err := strconv.Atoi(text)
	if err != nil {
		return err
	}
	return exited(code)
}

func (c *console) sleep(text string) error {
	n, err := strconv.Atoi(strings.TrimPrefix(text, "-Milliseconds "))
	if err != nil {
		return err
	}
	select {
	case <-time.After(time.Duration(n) * time.Millisecond):
		return nil
	case <-c.ctx.Done():
		return c.ctx.Err()
	}
}

// value is the value of a string, a variable or a word.
func (c *console) value(text string) (string, error) {
	runes := []rune(strings.TrimSpace(text))
	switch {
	case len(runes) == 0:
		return "", nil
	case string(runes) == "($_ | Out-String)":
		return c.env["?error"], nil
	case singleQuote(runes[0]) && closing(runes, 0) == len(runes)-1:
		return unquote(string(runes)), nil
	case doubleQuote(runes[0]) && closing(runes, 0) == len(runes)-1:
		return c.expand(runes[1 : len(runes)-1])
	case runes[0] == '$':
		return c.expand(runes)
	case singleQuote(runes[0]), doubleQuote(runes[0]):
		return "", fmt.Errorf("this PowerShell does not know: %s", text)
	}
	return string(runes), nil
}

var variable = regexp.MustCompile(`^\$(?:\{env:([^}]+)\}|env:(\w+))`)

// expand is the value of what stands between double quotes.
func (c *console) expand(runes []rune) (string, error) {
	var b strings.Builder
	for i := 0; i < len(runes); i++ {
		switch {
		case runes[i] == '`' && i+1 < len(runes):
			i++
			r := runes[i]
			if special, ok := map[rune]rune{'n': '\n', 'r': '\r', 't': '\t', '0': 0}[r]; ok {
				r = special
			}
			b.WriteRune(r)
		case doubleQuote(runes[i]):
			b.WriteRune(runes[i])
			i++
		case runes[i] == '$':
			m := variable.FindStringSubmatch(string(runes[i:]))
			if m == nil {
				return "", fmt.Errorf("this PowerShell does not know: %s", string(runes[i:]))
			}
			b.WriteString(c.env[m[1]+m[2]])
			i += len([]rune(m[0])) - 1
		default:
			b.WriteRune(runes[i])
		}
	}
	return b.String(), nil
}
