package shell

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"

	"ingot/internal/component"
	"ingot/internal/shellenv"
)

// uploadFailed is what the composed command exits with when the script could
// not be put in place. It counts only when the start was never marked.
const uploadFailed = 97

// oneTrip uploads a script, makes it executable, runs it and removes it with a
// single command: the script arrives on the command's standard input.
func (s *step) oneTrip(ctx context.Context, t component.Target, src source, env shellenv.Env, at remote) (component.Exit, error) {
	size, err := src.size()
	if err != nil {
		return component.Exit{}, final(err)
	}
	body, err := src.open()
	if err != nil {
		return component.Exit{}, final(err)
	}
	defer body.Close()
	script, short, err := shortText(body, size)
	if err != nil {
		return component.Exit{}, final(fmt.Errorf("script: %w", err))
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	dog := newWatchdog(s.StartRetryTimeout, func() {
		cancel(fmt.Errorf("the script did not start and nothing moved for %s", s.StartRetryTimeout))
	})
	defer dog.stop()
	begun := newStart(dog.stop)
	line, preamble, err := s.compose(t, env, at, begun.marker, size, short)
	if err != nil {
		return component.Exit{}, final(err)
	}
	length := int64(len(preamble)) + size
	if short {
		// No line feed behind it: then every byte that is cut off shows.
		script = io.MultiReader(script, strings.NewReader(begun.marker))
		length += int64(len(begun.marker))
	}
	in := newUpload(io.MultiReader(strings.NewReader(preamble), script), length, dog)
	outLines, errLines := component.NewLineWriter(t.Events, component.Stdout), component.NewLineWriter(t.Events, component.Stderr)
	out, errOut := &gate{start: begun, next: outLines}, &gate{start: begun, next: errLines}
	exit, err := t.Comm.Run(ctx, component.Command{Line: line, Stdin: in, Stdout: out, Stderr: errOut})
	out.flush()
	errOut.flush()
	outLines.Flush()
	errLines.Flush()
	switch {
	case begun.passed.Load():
		return exit, err
	case err == nil:
		return exit, refused(fmt.Errorf("put the script at %s: %s", at.script, exit))
	case in.taken():
		return exit, err // it may be running
	}
	return exit, notStarted(err)
}

// shortLimit is the size up to which a script is read by the machine's shell
// itself. That takes a system call per byte, but spares the processes that
// copying and counting take, which cost more.
const shortLimit = 2 << 10

// shortText returns a reader of the script, and whether it is short and
// consists of whole lines of text.
func shortText(body io.Reader, size int64) (io.Reader, bool, error) {
	if size > shortLimit {
		return body, false, nil
	}
	data, err := io.ReadAll(body)
	lines := bytes.HasSuffix(data, []byte("\n")) && !bytes.Contains(data, []byte{0}) && utf8.Valid(data)
	return bytes.NewReader(data), lines, err
}

// compose builds the command and what precedes the script on its standard
// input: the environment and a line with the marker.
//
// A lost connection ends the standard input like a finished upload does, so
// the size is compared before anything runs. The user's command is passed
// through eval, so that nothing in it (a comment, exec, exit, a stray quote)
// reaches the removal behind it. The trap lets the shell outlive a signal to
// its process group for the same reason.
func (s *step) compose(t component.Target, env shellenv.Env, at remote, marker string, size int64, lines bool) (line, preamble string, err error) {
	script := shellenv.Quote(at.script)
	remove := ":"
	if !s.SkipClean {
		remove = removal(at.files())
	}
	var b strings.Builder
	b.WriteString("trap : HUP INT TERM\n")
	run := "exec " + script
	read := ""
	whole := " && [ \"$(wc -c < " + script + ")\" -eq " + strconv.FormatInt(size, 10) + " ]"
	put := "cat > " + script
	if lines {
		put, whole = copyLines(marker, script), "" // the marker proves the end
	}
	switch {
	case at.envFile != "":
		preamble = s.variables(env)
		put = copyLines(marker, shellenv.Quote(at.envFile)) + " && " + put
	case s.ExecuteCommand == "" && s.Format == "":
		// Variables travel apart from the command, whose text other users
		// of the machine and its audit log can see.
		preamble = env.Format("export %s='%s'\n")
		read = "ingot_v=; while " + readLine(marker) + "; do ingot_v=\"$ingot_v$ingot_l\n\"; done; [ \"$ingot_l\" = " + marker + " ] && "
		run = "eval \"unset ingot_v ingot_l; $ingot_v\"; " + run
	}
	if preamble != "" {
		if !strings.HasSuffix(preamble, "\n") {
			preamble += "\n"
		}
		preamble += marker + "\n"
	}
	if s.ExecuteCommand != "" || at.envFile != "" {
		command, err := s.commandLine(t.Template, env, at)
		if err != nil {
			return "", "", err
		}
		run = "eval " + shellenv.Quote(command)
	} else if s.Format != "" {
		run = "eval " + shellenv.Quote(s.variables(env)+script)
	}
	b.WriteString(read + "(umask 077; " + put +
		whole + " && chmod 0755 " + script +
		") && echo " + marker + " >&2 || { " + removal(at.files()) + "; exit " + strconv.Itoa(uploadFailed) + "; }\n")
	b.WriteString("(" + run + "\n) </dev/null\n")
	b.WriteString("ingot_rc=$?; " + remove + "; exit $ingot_rc")
	return b.String(), preamble, nil
}

// copyLines copies lines of the standard input to a file, up to a line that is
// the marker, and fails when there is none.
func copyLines(marker, file string) string {
	return "while " + readLine(marker) + "; do printf '%s\\n' \"$ingot_l\"; done > " + file + " && [ \"$ingot_l\" = " + marker + " ]"
}

func readLine(marker string) string {
	return "IFS= read -r ingot_l && [ \"$ingot_l\" != " + marker + " ]"
}

func removal(paths []string) string {
	quoted := make([]string, len(paths))
	for i, p := range paths {
		quoted[i] = shellenv.Quote(p)
	}
	return "rm -f " + strings.Join(quoted, " ")
}
