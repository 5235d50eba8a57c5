// Package fake is a machine in memory with a communicator to it, for tests.
//
// The machine has a file system, a POSIX shell (an interpreter, so command
// lines mean what they mean elsewhere) and a few programs. Tests can add
// programs, look at what was run, and make operations fail.
package fake

import (
	"fmt"
	"io/fs"
	"path"
	"slices"
	"sort"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Machine is a machine in memory. Everything on it belongs to one user, whom
// permission bits do not hold back.
type Machine struct {
	mu       sync.Mutex // guards what follows
	root     *node
	readOnly []string
	lines    []string
	programs map[string]Program
	names    int
}

// node is a file, a folder or a symbolic link.
type node struct {
	name     string
	mode     fs.FileMode // type and permission bits
	body     []byte
	to       string
	modified time.Time
	children map[string]*node
}

// NewMachine makes a machine with the folders /tmp, /root, /etc, /bin and
// /dev and the usual programs.
func NewMachine() *Machine {
	m := &Machine{root: newFolder("/", 0o755), programs: standardPrograms()}
	for _, dir := range []string{"tmp", "root", "etc", "bin", "dev"} {
		m.root.children[dir] = newFolder(dir, 0o755)
	}
	m.root.children["tmp"].mode |= fs.ModeSticky
	return m
}

func newFolder(name string, mode fs.FileMode) *node {
	return &node{name: name, mode: fs.ModeDir | mode, modified: time.Now(), children: map[string]*node{}}
}

// ReadOnly makes everything below a path impossible to change.
func (m *Machine) ReadOnly(dir string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.readOnly = append(m.readOnly, path.Clean(dir))
}

// Program adds a command to the machine, or replaces one.
func (m *Machine) Program(name string, p Program) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.programs[name] = p
}

// Lines are the command lines that were run so far, in order.
func (m *Machine) Lines() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.lines)
}

// Files lists everything on the machine but the folders it started with,
// sorted.
func (m *Machine) Files() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []string
	var walk func(at string, n *node)
	walk = func(at string, n *node) {
		for name, c := range n.children {
			p := path.Join(at, name)
			if at != "/" || c.children == nil || !slices.Contains([]string{"tmp", "root", "etc", "bin", "dev"}, name) {
				out = append(out, p)
			}
			walk(p, c)
		}
	}
	walk("/", m.root)
	sort.Strings(out)
	return out
}

// WriteFile makes a file, with the folders on the way.
func (m *Machine) WriteFile(name string, body []byte, mode fs.FileMode) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.mkdirAll(path.Dir(name), 0o755); err != nil {
		return err
	}
	return m.write(name, body, mode, time.Now())
}

// ReadFile returns a file's contents and mode.
func (m *Machine) ReadFile(name string) ([]byte, fs.FileMode, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n, err := m.find(name, true)
	if err != nil {
		return nil, 0, err
	}
	if n.mode.IsDir() {
		return nil, 0, pathError("read", name, syscall.EISDIR)
	}
	return slices.Clone(n.body), n.mode, nil
}

// maxLinks is how many symbolic links a path may go through.
const maxLinks = 40

func pathError(op, name string, err error) error {
	return &fs.PathError{Op: op, Path: name, Err: err}
}

// place returns the folder that a path is in and its last element; the folder
// itself exists, the element need not.
func (m *Machine) place(name string, links int) (*node, string, error) {
	clean := path.Clean("/" + name)
	if clean == "/" {
		return m.root, ".", nil
	}
	dir, base := path.Split(clean)
	n, err := m.resolve(dir, true, links)
	if err != nil {
		return nil, "", err
	}
	if !n.mode.IsDir() {
		return nil, "", pathError("open", name, syscall.ENOTDIR)
	}
	return n, base, nil
}

func (m *Machine) find(name string, follow bool) (*node, error) {
	return m.resolve(name, follow, 0)
}

func (m *Machine) resolve(name string, follow bool, links int) (*node, error) {
	if links > maxLinks {
		return nil, pathError("open", name, syscall.ELOOP)
	}
	dir, base, err := m.place(name, links)
	if err != nil {
		return nil, err
	}
	if base == "." {
		return dir, nil
	}
	n, ok := dir.children[base]
	switch {
	case !ok:
		return nil, pathError("open", name, fs.ErrNotExist)
	case follow && n.mode.Type() == fs.ModeSymlink:
		return m.resolve(m.target(name, n), true, links+1)
	}
	return n, nil
}

// target is where a link at a path leads.
func (m *Machine) target(name string, n *node) string {
	if path.IsAbs(n.to) {
		return n.to
	}
	return path.Join(path.Dir(path.Clean("/"+name)), n.to)
}

// writable checks ReadOnly.
func (m *Machine) writable(op, name string) error {
	clean := path.Clean("/" + name)
	for _, dir := range m.readOnly {
		if clean == dir || strings.HasPrefix(clean, strings.TrimSuffix(dir, "/")+"/") {
			return pathError(op, name, fs.ErrPermission)
		}
	}
	return nil
}

func (m *Machine) write(name string, body []byte, mode fs.FileMode, modified time.Time) error {
	n, err := m.create(name, mode)
	if err != nil {
		return err
	}
	n.body, n.mode, n.modified = slices.Clone(body), mode, modified
	return nil
}

// create returns the file at a path, through links, and makes it if needed.
func (m *Machine) create(name string, mode fs.FileMode) (*node, error) {
	if err := m.writable("open", name); err != nil {
		return nil, err
	}
	for links := 0; ; links++ {
		dir, base, err := m.place(name, links)
		if err != nil {
			return nil, err
		}
		n, ok := dir.children[base]
		switch {
		case base == "." || ok && n.mode.IsDir():
			return nil, pathError("open", name, syscall.EISDIR)
		case links > maxLinks:
			return nil, pathError("open", name, syscall.ELOOP)
		case ok && n.mode.Type() == fs.ModeSymlink:
			name = m.target(name, n)
			continue
		case !ok:
			n = &node{name: base, mode: mode, modified: time.Now()}
			dir.children[base] = n
		}
		return n, nil
	}
}

func (m *Machine) mkdirAll(name string, mode fs.FileMode) error {
	clean := path.Clean("/" + name)
	if n, err := m.find(clean, true); err == nil {
		if !n.mode.IsDir() {
			return pathError("mkdir", name, syscall.ENOTDIR)
		}
		return nil
	}
	if err := m.mkdirAll(path.Dir(clean), mode); err != nil {
		return err
	}
	return m.mkdir(clean, mode)
}

func (m *Machine) mkdir(name string, mode fs.FileMode) error {
	if err := m.writable("mkdir", name); err != nil {
		return err
	}
	dir, base, err := m.place(name, 0)
	if err != nil {
		return err
	}
	if _, ok := dir.children[base]; ok || base == "." {
		return pathError("mkdir", name, fs.ErrExist)
	}
	dir.children[base] = newFolder(base, mode)
	return nil
}

func (m *Machine) symlink(to, name string) error {
	if err := m.writable("symlink", name); err != nil {
		return err
	}
	dir, base, err := m.place(name, 0)
	if err != nil {
		return err
	}
	if _, ok := dir.children[base]; ok {
		return pathError("symlink", name, fs.ErrExist)
	}
	dir.children[base] = &node{name: base, mode: fs.ModeSymlink | 0o777, to: to, modified: time.Now()}
	return nil
}

// remove removes what is at a path; folders with contents only when all is
// set.
func (m *Machine) remove(name string, all bool) error {
	if err := m.writable("remove", name); err != nil {
		return err
	}
	dir, base, err := m.place(name, 0)
	if err != nil {
		return err
	}
	n, ok := dir.children[base]
	switch {
	case !ok:
		return pathError("remove", name, fs.ErrNotExist)
	case n.mode.IsDir() && !all:
		return pathError("remove", name, syscall.EISDIR)
	}
	delete(dir.children, base)
	return nil
}

// tempName makes a name that nothing has yet.
func (m *Machine) tempName() string {
	m.names++
	return fmt.Sprintf("/tmp/tmp.%06d", m.names)
}

// info is a node as fs.FileInfo, as it was when it was asked for.
type info struct {
	name     string
	mode     fs.FileMode
	size     int64
	modified time.Time
}

func (n *node) info() info {
	return info{n.name, n.mode, int64(len(n.body)), n.modified}
}

// Name is the last element of the path.
func (i info) Name() string { return i.name }

// Size is the length of a file's contents.
func (i info) Size() int64 { return i.size }

// Mode is type and permission bits.
func (i info) Mode() fs.FileMode { return i.mode }

// ModTime is when the file was written last.
func (i info) ModTime() time.Time { return i.modified }

// IsDir reports whether it is a folder.
func (i info) IsDir() bool { return i.mode.IsDir() }

// Sys is nil.
func (i info) Sys() any { return nil }
