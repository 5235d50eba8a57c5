//go:build unix

package winrmd

import (
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"time"
)

// console is where a command line or a script runs: who runs it, what it sees
// and where its output goes.
type console struct {
	s              *Server
	ctx            context.Context //nolint:containedctx // it is the program's life
	user           string
	env            map[string]string
	in             io.Reader
	out, err       io.Writer
	lastExit, deep int
	failed         bool // the last program has
}

// line is a program that runs a command line as a user.
func (s *Server) line(user, line string) program {
	return func(ctx context.Context, stdin io.Reader, stdout, stderr io.Writer) int {
		c := &console{s: s, ctx: ctx, user: user, env: map[string]string{}, in: stdin, out: stdout, err: stderr}
		if code, known := c.cmd(line); known {
			return code
		}
		return sh(line)(ctx, stdin, stdout, stderr)
	}
}

// Command runs a command line as another server would, with cmd.exe or with
// PowerShell. It returns the exit code.
func (s *Server) Command(ctx context.Context, powershell bool, line string, stdin io.Reader, stdout, stderr io.Writer) int {
	c := &console{s: s, ctx: ctx, user: s.cfg.User, env: map[string]string{"ComSpec": `C:\Windows\system32\cmd.exe`}, in: stdin, out: stdout, err: stderr}
	if powershell {
		return c.powershellScript(line)
	}
	code, _ := c.commands(line, false)
	return code
}

func (c *console) say(format string, args ...any) { fmt.Fprintf(c.out, format+"\r\n", args...) }

func (c *console) complain(format string, args ...any) int {
	fmt.Fprintf(c.err, format+"\r\n", args...)
	return 1
}

// powershell runs powershell.exe with these arguments.
func (c *console) powershell(line string) int {
	switch {
	case c.s.cfg.NoPowerShell:
		return c.complain("'powershell.exe' is not recognized as an internal or external command")
	case len(line) > 8191:
		return c.complain("The command line is too long.")
	}
	if _, rest, found := strings.Cut(line, ` -File "`); found {
		path, _, _ := strings.Cut(rest, `"`)
		text, err := os.ReadFile(c.s.Path(path))
		if err != nil {
			return c.complain("The argument '%s' to the -File parameter does not exist.", path)
		}
		return c.script(strings.TrimPrefix(string(text), "\ufeff"))
	}
	_, encoded, found := strings.Cut(line, "-EncodedCommand ")
	if !found {
		return c.complain("no script")
	}
	script, err := decodeScript(encoded)
	if err != nil {
		return c.complain("%s", err)
	}
	return c.script(script)
}

// script does what a script of ours does, or interprets one of a user.
func (c *console) script(text string) int {
	c.s.note(text)
	if c.s.cfg.Script != nil {
		if code, known := c.s.cfg.Script(c.ctx, text, c.out); known {
			return code
		}
	}
	name, _, _ := strings.Cut(text, "\n")
	switch do := transfers()[name]; {
	case do != nil:
		return c.s.transfer(c.ctx, c.in, c.out, do)
	case name == "# ingot ready":
		c.say("ingot-ready")
		return 0
	case strings.Contains(text, "(-join @($input))"):
		return c.parcel()
	case strings.Contains(text, "Diagnostics.ProcessStartInfo"):
		line := literals(between(text, "/d /s /c \"' + ", "\n"))
		code, _ := c.commands(line[0], false)
		return code
	case strings.Contains(text, "ingot-boot"):
		const ticksAtEpoch = 621355968000000000
		started := c.s.started()
		c.say("ingot-boot %d %d", started.UnixNano()/100+ticksAtEpoch, time.Since(started).Milliseconds())
		return 0
	case strings.Contains(text, "$folder.DeleteTask($name, 0)"):
		if names := literals(text); len(names) > 0 {
			c.s.endTask(names[0])
		}
		return 0
	case strings.Contains(text, "foreach ($path in @("):
		left := 0
		for _, path := range literals(between(text, "foreach ($path in @(", "))")) {
			_ = os.Remove(c.s.Path(path)) // what counts is whether it is there
			if _, err := os.Lstat(c.s.Path(path)); err == nil {
				left = 1
			}
		}
		return left
	case strings.Contains(text, "foreach ($key in @("):
		for _, key := range literals(between(text, "foreach ($key in @(", "))")) {
			if c.s.hasKey(key) {
				c.say("%s", key)
			}
		}
		return 0
	}
	return c.powershellScript(text)
}

// parcel is the script that reads another one, and its arguments, from the
// standard input.
func (c *console) parcel() int {
	input, err := io.ReadAll(c.in)
	if err != nil {
		return 1
	}
	var texts []string
	for _, part := range strings.Split(strings.NewReplacer("\r", "", "\n", "").Replace(string(input)), ".") {
		text, err := base64.StdEncoding.DecodeString(part)
		if err != nil {
			return c.complain("%s", err)
		}
		texts = append(texts, string(text))
	}
	if len(texts) != 7 || !strings.Contains(texts[0], "RegisterTaskDefinition") {
		return c.complain("not the script that makes a scheduled task")
	}
	c.s.note(texts[0])
	return c.task(texts[1], texts[2], texts[3], texts[4], texts[5])
}

// task runs a command line in a scheduled task.
func (c *console) task(marker, name, line, user, password string) int {
	if want, known := c.s.cfg.Accounts[user]; !known || want != password {
		return c.complain("%s early The user name or password is incorrect.", marker)
	}
	ctx, cancel := context.WithCancel(c.ctx)
	defer cancel()
	c.s.addTask(name, cancel)
	defer c.s.endTask(name)
	return c.s.line(user, line)(ctx, strings.NewReader(""), c.out, c.out)
}

func between(text, from, to string) string {
	_, text, _ = strings.Cut(text, from)
	text, _, _ = strings.Cut(text, to)
	return text
}

var literal = regexp.MustCompile(`'(?:[^'\x{2018}-\x{201b}]|'{2}|\x{2018}{2}|\x{2019}{2}|\x{201a}{2}|\x{201b}{2})*'`)

// literals are the values of all single-quoted strings of a text.
func literals(text string) []string {
	var out []string
	for _, quoted := range literal.FindAllString(text, -1) {
		out = append(out, unquote(quoted))
	}
	return out
}

func unquote(quoted string) string {
	inner := []rune(quoted)
	inner = inner[1 : len(inner)-1]
	var b strings.Builder
	for i := 0; i < len(inner); i++ {
		b.WriteRune(inner[i])
		if singleQuote(inner[i]) {
			i++
		}
	}
	return b.String()
}

func singleQuote(r rune) bool { return r == '\'' || r >= '\u2018' && r <= '\u201b' }
func doubleQuote(r rune) bool { return r == '"' || r >= '\u201c' && r <= '\u201e' }
