package gitmodule

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"time"
)

// unansweredError says that git could not be run or did not succeed.
type unansweredError struct{ text string }

func (e unansweredError) Error() string { return e.text }

// remote is what git knows the repository of a module as. The working directory
// may be in a repository with remotes of its own, whose URLs git would prefer
// if one of them had this name.
const remote = "ingot-module-source"

// git runs git and returns what it printed. It asks nobody anything. The URL is
// given to it as that of remote, in its environment: other users can see
// command lines.
func (s *Store) git(ctx context.Context, r *repository, dir string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "git", args...)
	cmd.Dir = dir
	cmd.Env = append(s.environ(),
		"GIT_TERMINAL_PROMPT=0", "GCM_INTERACTIVE=never", "LC_ALL=C",
		"GIT_ALLOW_PROTOCOL=https:http:ssh:git:file",
		"GIT_CONFIG_COUNT=2",
		"GIT_CONFIG_KEY_0=remote."+remote+".url", "GIT_CONFIG_VALUE_0="+r.url,
		"GIT_CONFIG_KEY_1=core.hooksPath", "GIT_CONFIG_VALUE_1=/dev/null",
	)
	// Helpers of git may hold the pipes for a while when it is ended.
	cmd.WaitDelay = 2 * time.Second
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	err := cmd.Run()
	switch {
	case err == nil:
		return out.String(), nil
	case ctx.Err() != nil:
		return "", fmt.Errorf("fetch %s: %w", r.shown, context.Cause(ctx))
	case errors.Is(err, exec.ErrNotFound):
		return "", unansweredError{fmt.Sprintf("the program git is needed to fetch %s, and is not installed", r.shown)}
	}
	return "", unansweredError{fmt.Sprintf("git %s of %s failed: %s", verb(args), r.shown, r.hide(reason(said.String(), err)))}
}

// environ is the environment without what would point git to another
// repository, and without prompts of ssh unless the user has said how it runs.
func (s *Store) environ() []string {
	own := false
	env := slices.DeleteFunc(slices.Clone(s.Environ), func(entry string) bool {
		name, _, _ := strings.Cut(entry, "=")
		own = own || name == "GIT_SSH_COMMAND" || name == "GIT_SSH"
		switch name {
		case "GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_COMMON_DIR", "GIT_NAMESPACE":
			return true
		}
		return strings.HasPrefix(name, "GIT_CONFIG_KEY_") || strings.HasPrefix(name, "GIT_CONFIG_VALUE_") || name == "GIT_CONFIG_COUNT"
	})
	if !own {
		env = append(env, "GIT_SSH_COMMAND=ssh -oBatchMode=yes")
	}
	return env
}

// verb is the git command among arguments.
func verb(args []string) string {
	for i := 0; i < len(args); i++ {
		if args[i] == "-c" {
			i++
			continue
		}
		return args[i]
	}
	return ""
}

// reason is what git said was wrong, in one line, without its advice.
func reason(said string, err error) string {
	var lines, others []string
	for _, line := range strings.Split(said, "\n") {
		line = strings.TrimSuffix(strings.TrimSpace(line), ".")
		rest, faulty := line, false
		for _, prefix := range []string{"fatal: ", "error: ", "remote: "} {
			if after, ok := strings.CutPrefix(rest, prefix); ok {
				rest, faulty = after, true
			}
		}
		switch {
		case rest == "" || slices.Contains(lines, rest):
		case faulty:
			lines = append(lines, rest)
		default:
			others = append(others, rest)
		}
	}
	if len(lines) == 0 {
		lines = others
	}
	if len(lines) == 0 {
		return err.Error()
	}
	const most = 6
	if len(lines) > most {
		lines = lines[len(lines)-most:]
	}
	return strings.Join(lines, "; ")
}
