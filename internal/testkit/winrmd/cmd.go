//go:build unix

package winrmd

import (
	"os"
	"regexp"
	"strconv"
	"strings"
)

// This is a very small part of cmd.exe: what the lines of the provisioners
// consist of, and enough to write batch files for tests. A line that begins with
// anything else is not for it.

var ours = regexp.MustCompile(`(?i)^(set |del |shutdown |powershell|pwsh|cmd /|"[^"]*\.(bat|cmd)")`)

// cmd runs a line. It is false when the line is not one for it.
func (c *console) cmd(line string) (code int, known bool) {
	if !ours.MatchString(line) {
		return 0, false
	}
	code, _ = c.commands(line, false)
	return code, true
}

// commands runs what is between the signs & and &&. It tells whether the batch
// file is at its end.
func (c *console) commands(line string, inFile bool) (code int, ended bool) {
	for _, part := range parts(c.percent(line, inFile)) {
		if part.ifDone && code != 0 {
			break
		}
		code, ended = c.command(strings.TrimSpace(part.text))
		if ended {
			break
		}
	}
	return code, ended
}

var percent = regexp.MustCompile(`%([^%]+)%`)

// percent puts in the values of variables. A variable that there is not stays
// as it is on a command line, and is empty in a file.
func (c *console) percent(line string, inFile bool) string {
	return percent.ReplaceAllStringFunc(line, func(name string) string {
		if value, ok := c.env[strings.Trim(name, "%")]; ok {
			return value
		}
		if inFile {
			return ""
		}
		return name
	})
}

type part struct {
	text string
	// ifDone: it is run only when the one before has succeeded.
	ifDone bool
}

// parts cuts a line at & and &&, and removes the carets. Between quotes, nothing
// has a meaning.
func parts(line string) []part {
	var out []part
	var b strings.Builder
	quoted, next := false, part{}
	for i := 0; i < len(line); i++ {
		switch {
		case line[i] == '^' && !quoted && i+1 < len(line):
			i++
			b.WriteByte(line[i])
		case line[i] == '"':
			quoted = !quoted
			b.WriteByte('"')
		case line[i] == '&' && !quoted:
			next.text = b.String()
			out = append(out, next)
			b.Reset()
			next = part{}
			if i+1 < len(line) && line[i+1] == '&' {
				next.ifDone = true
				i++
			}
		default:
			b.WriteByte(line[i])
		}
	}
	next.text = b.String()
	return append(out, next)
}

var (
	ifExist = regexp.MustCompile(`(?i)^if exist "([^"]*)" exit (\d+)$`)
	delFile = regexp.MustCompile(`(?i)^del /f /q "([^"]*)"( 2>nul)?$`)
	runFile = regexp.MustCompile(`(?i)^"([^"]*\.(?:bat|cmd))"$`)
	exitB   = regexp.MustCompile(`(?i)^exit /b (\d+)$`)
)

func (c *console) command(text string) (code int, ended bool) {
	word, rest, _ := strings.Cut(text, " ")
	if m := ifExist.FindStringSubmatch(text); m != nil {
		if _, err := os.Lstat(c.s.Path(m[1])); err == nil {
			code, _ = strconv.Atoi(m[2]) // it is digits
			return code, true
		}
		return 0, false
	}
	if m := delFile.FindStringSubmatch(text); m != nil {
		_ = os.Remove(c.s.Path(m[1])) // del does not tell
		return 0, false
	}
	if m := runFile.FindStringSubmatch(text); m != nil {
		return c.batch(m[1]), false
	}
	if m := exitB.FindStringSubmatch(text); m != nil {
		code, _ = strconv.Atoi(m[1]) // it is digits
		return code, true
	}
	switch strings.ToLower(word) {
	case "":
		return 0, false
	case "set":
		name, value, _ := strings.Cut(strings.TrimSuffix(strings.TrimPrefix(rest, `"`), `"`), "=")
		c.env[name] = value
		if value == "" {
			delete(c.env, name)
		}
		return 0, false
	case "echo":
		c.say("%s", rest)
		return 0, false
	case "shutdown":
		go c.s.restart() // it answers first
		return 0, false
	case "powershell", "powershell.exe", "pwsh":
		return c.powershell(text), false
	case "@echo", "rem":
		return 0, false
	case "whoami":
		c.say("%s", c.user)
		return 0, false
	}
	return c.complain("'%s' is not recognized as an internal or external command", word), false
}

// batch runs a file of commands.
func (c *console) batch(path string) int {
	text, err := os.ReadFile(c.s.Path(path))
	if err != nil {
		return c.complain("'%s' is not recognized as an internal or external command", path)
	}
	code := 0
	for _, line := range strings.Split(string(text), "\n") {
		var ended bool
		if code, ended = c.commands(strings.TrimSpace(line), true); ended || c.ctx.Err() != nil {
			break
		}
	}
	return code
}
