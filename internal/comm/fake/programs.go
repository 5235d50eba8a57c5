package fake

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"

	"ingot/internal/component"
)

// standardPrograms are the commands that scripts in tests use. They know the
// options that those need and refuse others.
func standardPrograms() map[string]Program {
	return map[string]Program{
		"cat": cat, "chmod": chmod, "env": printEnv, "head": head, "id": fixed("uid=0(root) gid=0(root)"),
		"ls": ls, "mkdir": mkdir, "mktemp": mktemp, "mv": mv, "rm": rm, "sleep": sleep, "tee": tee,
		"touch": touch, "uname": fixed("Linux"), "wc": wc, "whoami": fixed("root"),
	}
}

func fixed(text string) Program {
	return func(_ context.Context, p *Process) int {
		fmt.Fprintln(p.Stdout, text)
		return 0
	}
}

// fail prints an error as the program's and returns 1.
func (p *Process) fail(err error) int {
	fmt.Fprintf(p.Stderr, "%s: %v\n", path.Base(p.Args[0]), err)
	return 1
}

// options splits the arguments into the letters of known options and operands.
func (p *Process) options(known string) (string, []string, error) {
	letters := ""
	for i, a := range p.Args[1:] {
		if a == "--" {
			return letters, p.Args[i+2:], nil
		}
		if !strings.HasPrefix(a, "-") || a == "-" {
			return letters, p.Args[i+1:], nil
		}
		for _, l := range a[1:] {
			if !strings.ContainsRune(known, l) {
				return "", nil, fmt.Errorf("option -%c is not known to this machine", l)
			}
			letters += string(l)
		}
	}
	return letters, nil, nil
}

func cat(_ context.Context, p *Process) int {
	files := p.Args[1:]
	if len(files) == 0 {
		files = []string{"-"}
	}
	for _, f := range files {
		if f == "-" {
			if _, err := io.Copy(p.Stdout, p.Stdin); err != nil {
				return p.fail(err)
			}
			continue
		}
		body, _, err := p.ReadFile(p.Path(f))
		if err != nil {
			return p.fail(err)
		}
		if _, err := p.Stdout.Write(body); err != nil {
			return p.fail(err)
		}
	}
	return 0
}

func head(_ context.Context, p *Process) int {
	if len(p.Args) < 3 || p.Args[1] != "-c" {
		return p.fail(errors.New("only head -c N is known to this machine"))
	}
	n, err := strconv.ParseInt(p.Args[2], 10, 64)
	if err != nil {
		return p.fail(err)
	}
	if _, err := io.Copy(p.Stdout, io.LimitReader(p.Stdin, n)); err != nil {
		return p.fail(err)
	}
	return 0
}

func tee(_ context.Context, p *Process) int {
	body, err := io.ReadAll(p.Stdin)
	if err != nil {
		return p.fail(err)
	}
	for _, f := range p.Args[1:] {
		if err := p.store(f, body); err != nil {
			return p.fail(err)
		}
	}
	_, _ = p.Stdout.Write(body)
	return 0
}

func (p *Process) store(name string, body []byte) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	n, err := p.create(p.Path(name), 0o644)
	if err == nil {
		n.body, n.modified = slices.Clone(body), time.Now()
	}
	return err
}

func wc(_ context.Context, p *Process) int {
	if len(p.Args) < 2 || p.Args[1] != "-c" {
		return p.fail(errors.New("only wc -c is known to this machine"))
	}
	n, err := io.Copy(io.Discard, p.Stdin)
	if err != nil {
		return p.fail(err)
	}
	fmt.Fprintln(p.Stdout, n)
	return 0
}

func mkdir(_ context.Context, p *Process) int {
	flags, dirs, err := p.options("p")
	if err != nil {
		return p.fail(err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, d := range dirs {
		make := p.mkdir
		if flags != "" {
			make = p.mkdirAll
		}
		if err := make(p.Path(d), 0o755); err != nil {
			return p.fail(err)
		}
	}
	return 0
}

func rm(_ context.Context, p *Process) int {
	flags, names, err := p.options("rf")
	if err != nil {
		return p.fail(err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, n := range names {
		err := p.remove(p.Path(n), strings.Contains(flags, "r"))
		if err != nil && !(strings.Contains(flags, "f") && errors.Is(err, fs.ErrNotExist)) {
			return p.fail(err)
		}
	}
	return 0
}

func mv(_ context.Context, p *Process) int {
	flags, names, err := p.options("f")
	if err != nil || len(names) != 2 {
		return p.fail(fmt.Errorf("%q: want two names: %w", flags, err))
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	from, to := p.Path(names[0]), p.Path(names[1])
	if n, err := p.find(to, true); err == nil && n.mode.IsDir() {
		to = path.Join(to, path.Base(from))
	}
	if err := errors.Join(p.writable("rename", from), p.writable("rename", to)); err != nil {
		return p.fail(err)
	}
	oldDir, oldName, err := p.place(from, 0)
	if err != nil {
		return p.fail(err)
	}
	n, ok := oldDir.children[oldName]
	if !ok {
		return p.fail(pathError("rename", from, fs.ErrNotExist))
	}
	newDir, newName, err := p.place(to, 0)
	if err != nil {
		return p.fail(err)
	}
	delete(oldDir.children, oldName)
	n.name = newName
	newDir.children[newName] = n
	return 0
}

func touch(_ context.Context, p *Process) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, f := range p.Args[1:] {
		n, err := p.create(p.Path(f), 0o644)
		if err != nil {
			return p.fail(err)
		}
		n.modified = time.Now()
	}
	return 0
}

func mktemp(_ context.Context, p *Process) int {
	flags, _, err := p.options("d")
	if err != nil {
		return p.fail(err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	name := p.tempName()
	if flags != "" {
		err = p.mkdir(name, 0o700)
	} else {
		err = p.write(name, nil, 0o600, time.Now())
	}
	if err != nil {
		return p.fail(err)
	}
	fmt.Fprintln(p.Stdout, name)
	return 0
}

// chmod knows octal modes, "+x" and "u+rwx".
func chmod(_ context.Context, p *Process) int {
	flags, args, err := p.options("R")
	if err != nil || len(args) < 2 {
		return p.fail(fmt.Errorf("want a mode and names: %w", err))
	}
	change, err := parseMode(args[0])
	if err != nil {
		return p.fail(err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	var apply func(n *node)
	apply = func(n *node) {
		if n.mode.Type() != fs.ModeSymlink {
			n.mode = n.mode.Type() | change(n.mode.Perm())
		}
		for _, c := range n.children {
			if strings.Contains(flags, "R") {
				apply(c)
			}
		}
	}
	for _, f := range args[1:] {
		n, err := p.find(p.Path(f), true)
		if err == nil {
			err = p.writable("chmod", p.Path(f))
		}
		if err != nil {
			return p.fail(err)
		}
		apply(n)
	}
	return 0
}

func parseMode(text string) (func(fs.FileMode) fs.FileMode, error) {
	switch text {
	case "+x", "a+x":
		return func(m fs.FileMode) fs.FileMode { return m | 0o111 }, nil
	case "u+rwx":
		return func(m fs.FileMode) fs.FileMode { return m | 0o700 }, nil
	}
	n, err := strconv.ParseUint(text, 8, 12)
	if err != nil {
		return nil, fmt.Errorf("mode %q is not known to this machine", text)
	}
	return func(fs.FileMode) fs.FileMode { return fs.FileMode(n).Perm() }, nil
}

func ls(_ context.Context, p *Process) int {
	_, names, err := p.options("1aA")
	if err != nil {
		return p.fail(err)
	}
	if len(names) == 0 {
		names = []string{"."}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, name := range names {
		n, err := p.find(p.Path(name), true)
		if err != nil {
			return p.fail(err)
		}
		if !n.mode.IsDir() {
			fmt.Fprintln(p.Stdout, name)
			continue
		}
		var list []string
		for c := range n.children {
			list = append(list, c)
		}
		sort.Strings(list)
		for _, c := range list {
			fmt.Fprintln(p.Stdout, c)
		}
	}
	return 0
}

func sleep(ctx context.Context, p *Process) int {
	if len(p.Args) != 2 {
		return p.fail(errors.New("want one number"))
	}
	seconds, err := strconv.ParseFloat(p.Args[1], 64)
	if err != nil {
		return p.fail(err)
	}
	if (component.SystemClock{}).Sleep(ctx, time.Duration(seconds*float64(time.Second))) != nil {
		return 143
	}
	return 0
}

// printEnv prints the environment, or runs a program with more of it; the
// latter only as far as assignments go, which the shell can do itself.
func printEnv(_ context.Context, p *Process) int {
	if len(p.Args) > 1 {
		return p.fail(errors.New("only env without arguments is known to this machine"))
	}
	for _, name := range []string{"HOME", "PATH", "USER"} {
		fmt.Fprintf(p.Stdout, "%s=%s\n", name, p.Getenv(name))
	}
	return 0
}
