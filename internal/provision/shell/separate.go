package shell

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"ingot/internal/component"
	"ingot/internal/shellenv"
	"ingot/internal/winguest"
)

// separateTrips uploads, runs and leaves the removal to the caller. It is for
// communicators whose commands have no clean standard input or no POSIX shell.
func (s *step) separateTrips(ctx context.Context, t component.Target, src source, env shellenv.Env, at remote) (component.Exit, error) {
	if s.ExecuteCommand == "" && t.Comm.Caps().Shell.Windows() {
		return component.Exit{}, final(errors.New("the machine's shell is one of Windows: use the powershell or windows-shell provisioner, or set execute_command"))
	}
	line, err := s.commandLine(t.Template, env, at)
	if err != nil {
		return component.Exit{}, final(err)
	}
	if at.envFile != "" {
		text := s.variables(env)
		if err := s.put(ctx, t, at.envFile, strings.NewReader(text), int64(len(text)), 0o600); err != nil {
			return component.Exit{}, err
		}
	}
	size, err := src.size()
	if err != nil {
		return component.Exit{}, final(err)
	}
	body, err := src.open()
	if err != nil {
		return component.Exit{}, final(err)
	}
	defer body.Close()
	if err := s.put(ctx, t, at.script, body, size, 0o755); err != nil {
		return component.Exit{}, err
	}
	out, errOut := component.NewLineWriter(t.Events, component.Stdout), component.NewLineWriter(t.Events, component.Stderr)
	defer out.Flush()
	defer errOut.Flush()
	return t.Comm.Run(ctx, component.Command{Line: line, Stdout: out, Stderr: errOut})
}

func (s *step) put(ctx context.Context, t component.Target, path string, in io.Reader, size int64, mode fs.FileMode) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	dog := newWatchdog(s.StartRetryTimeout, func() {
		cancel(fmt.Errorf("upload %s: nothing moved for %s", path, s.StartRetryTimeout))
	})
	defer dog.stop()
	err := t.Comm.Put(ctx, path, newUpload(in, size, dog), component.FileMeta{Mode: mode, Size: size})
	if err != nil {
		return notStarted(fmt.Errorf("upload %s: %w", path, err))
	}
	return nil
}

// removeCommand is what removes files with the machine's own shell.
func removeCommand(shell component.Shell, paths []string) string {
	if !shell.Windows() {
		return removal(paths)
	}
	quoted := make([]string, len(paths))
	if shell == component.PowerShell {
		for i, p := range paths {
			quoted[i] = winguest.Literal(p)
		}
		return "Remove-Item -Force -ErrorAction SilentlyContinue -LiteralPath " + strings.Join(quoted, ", ")
	}
	for i, p := range paths {
		quoted[i] = `"` + strings.ReplaceAll(p, "/", `\`) + `"`
	}
	return "del /f /q " + strings.Join(quoted, " ")
}
