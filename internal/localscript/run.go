package localscript

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"

	"ingot/internal/component"
	"ingot/internal/gotmpl"
	"ingot/internal/shellenv"
)

// Run runs the scripts in order and stops at the first that fails. httpAddr
// is host:port of the builder's HTTP server, or "".
func (s *Scripts) Run(ctx context.Context, r component.Run, httpAddr string) error {
	if why := s.skipped(); why != "" {
		r.Say(why)
		return nil
	}
	env := s.Assemble(shellenv.Supplied(r.Template, httpAddr))
	if s.Command != "" || len(s.Inline) > 0 {
		return s.runInline(ctx, r, env)
	}
	paths := s.Paths
	if s.Script != "" {
		paths = []string{s.Script}
	}
	for _, path := range paths {
		target := path
		if s.UseLinuxPathing {
			abs, err := filepath.Abs(path)
			if err != nil {
				return fmt.Errorf("path of script %s: %w", path, err)
			}
			target = linuxPath(abs)
		}
		if err := s.runFile(ctx, r, env, target, ""); err != nil {
			return err
		}
	}
	return nil
}

func (s *Scripts) runInline(ctx context.Context, r component.Run, env shellenv.Env) (err error) {
	lines := s.Inline
	if s.Command != "" {
		lines = []string{s.Command}
	}
	shebang := s.shebang()
	var text strings.Builder
	if shebang != "" {
		text.WriteString("#!" + shebang + "\n")
	}
	for _, line := range lines {
		text.WriteString(line + "\n")
	}
	path, err := writeScript(r.WorkDir, s.extension(), text.String())
	if err != nil {
		return err
	}
	defer func() {
		if rmErr := os.Remove(path); rmErr != nil {
			err = errors.Join(err, fmt.Errorf("remove the inline script: %w", rmErr))
		}
	}()
	return s.runFile(ctx, r, env, path, shebang)
}

func (s *Scripts) shebang() string {
	if s.InlineShebang == "" && runtime.GOOS != "windows" {
		return "/bin/sh -e"
	}
	return s.InlineShebang
}

func (s *Scripts) extension() string {
	if s.TempfileExtension == "" && runtime.GOOS == "windows" {
		return ".cmd"
	}
	return s.TempfileExtension
}

// writeScript makes an executable file. No other goroutine may start a
// process meanwhile: a child that inherits the open file keeps the kernel from
// executing it ("text file busy").
func writeScript(dir, extension, text string) (string, error) {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	f, err := os.CreateTemp(dir, "script-*"+extension)
	if err != nil {
		return "", fmt.Errorf("write the inline script: %w", err)
	}
	_, err = f.WriteString(text)
	if err == nil && runtime.GOOS != "windows" {
		err = f.Chmod(0o700)
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return "", errors.Join(fmt.Errorf("write the inline script: %w", err), os.Remove(f.Name()))
	}
	return f.Name(), nil
}

// runFile runs one script. A shebang means that the file is ours and starts
// with it.
func (s *Scripts) runFile(ctx context.Context, r component.Run, env shellenv.Env, path, shebang string) error {
	argv, processEnv, err := s.commandLine(r.Template, env, path, shebang)
	if err != nil {
		return err
	}
	r.Say("Running local shell script: " + path)
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env = append(os.Environ(), "PACKER_RUN_UUID="+r.ID)
	cmd.Env = append(cmd.Env, processEnv...)
	exit, err := s.execute(ctx, r, cmd)
	if err != nil {
		return fmt.Errorf("local script %s: %w", path, err)
	}
	if !slices.Contains(s.ValidExitCodes, exit.Code) {
		return s.exitError(path, exit)
	}
	return nil
}

func (s *Scripts) exitError(path string, exit component.Exit) error {
	how := fmt.Sprintf("script exited with non-zero exit status: %d", exit.Code)
	switch {
	case exit.Signal != "":
		how = "script was ended by signal " + exit.Signal
	case exit.Code == 0:
		how = "script exited with exit status: 0"
	}
	hint := ""
	if exit.Code == 126 && len(s.ExecuteCommand) == 0 {
		if info, err := os.Stat(path); err == nil && info.Mode()&0o111 == 0 {
			hint = "; the file is not executable (chmod +x it, or run it through execute_command)"
		}
	}
	return fmt.Errorf("local script %s: %s. Allowed exit codes are: %v%s", path, how, s.ValidExitCodes, hint)
}

// commandLine returns the program with its arguments and what is added to the
// environment. Unless the user has a say in how variables are written, they go
// into the environment of the process, where `ps` does not show them.
func (s *Scripts) commandLine(v gotmpl.Vars, env shellenv.Env, path, shebang string) (argv, processEnv []string, err error) {
	if len(s.ExecuteCommand) == 0 && s.Format == "" {
		return defaultCommand(path, shebang), env.Strings(), nil
	}
	args := s.ExecuteCommand
	if len(args) == 0 {
		args = plainCommand()
	}
	if s.WrapSingle && len(args) == 1 {
		args = []string{"sh", "-c", args[0]}
	}
	fields := shellenv.Fields(v, map[string]string{"Vars": s.vars(env), "Script": path, "Command": path})
	argv = make([]string, len(args))
	for i, arg := range args {
		if argv[i], err = gotmpl.Render(arg, v, fields); err != nil {
			return nil, nil, fmt.Errorf("execute_command: %w", err)
		}
	}
	return argv, nil, nil
}

func (s *Scripts) vars(env shellenv.Env) string {
	format := s.Format
	if runtime.GOOS == "windows" {
		if format == "" {
			format = "set %s=%s && "
		}
		return env.FormatRaw(format)
	}
	if format == "" {
		format = "%s='%s' "
	}
	return env.Format(format)
}
