package componenttest

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"sort"
	"strings"
	"time"

	"ingot/internal/component"
)

var putChecks = []communicatorCheck{
	{"put/exact bytes", needsPut, func(s *communicatorCase) {
		for _, n := range []int{1, 2, 511, 512, 513, 32 << 10, 32<<10 + 1, 300_001} {
			want := noise(n)
			s.put("file", want, plain(n))
			s.same(fmt.Sprintf("%d bytes", n), s.get("file"), want)
		}
	}},
	{"put/text is not converted", needsPut, func(s *communicatorCase) {
		want := []byte("\xef\xbb\xbfone\r\ntwo\n\x00\x1a\x04\x03\xff no end")
		s.put("file", want, plain(len(want)))
		s.same("text", s.get("file"), want)
	}},
	{"put/empty file", needsPut, func(s *communicatorCase) {
		s.put("file", nil, component.FileMeta{Size: 0})
		s.same("empty file", s.get("file"), nil)
	}},
	{"put/large file", needsPut, func(s *communicatorCase) {
		want := noise(20 << 20)
		s.put("file", want, plain(len(want)))
		s.same("20 MB", s.get("file"), want)
	}},
	{"put/size not known", needsPut, func(s *communicatorCase) {
		want := noise(100_000)
		src := io.MultiReader(bytes.NewReader(want[:7]), bytes.NewReader(want[7:]))
		if err := s.c.Put(s.ctx, s.at("file"), src, component.FileMeta{Size: -1}); err != nil {
			s.Fatalf("Put: %v", err)
		}
		s.same("file", s.get("file"), want)
	}},
	{"put/mode", needsModes, func(s *communicatorCase) {
		for _, mode := range []fs.FileMode{0o600, 0o640, 0o755, 0o777, 0o700} {
			s.put("file", []byte("x"), component.FileMeta{Mode: mode, Size: 1})
			s.mode("file", mode)
		}
	}},
	{"put/default mode", needsModes, func(s *communicatorCase) {
		s.put("file", []byte("x"), component.FileMeta{Size: 1})
		s.mode("file", 0o644)
	}},
	{"put/replaces contents", needsPut, func(s *communicatorCase) {
		s.put("file", []byte("a rather long text"), plain(-1))
		s.put("file", []byte("short"), plain(5))
		s.same("file", s.get("file"), []byte("short"))
	}},
	{"put/replaces the mode", needsModes, func(s *communicatorCase) {
		s.put("file", []byte("x"), component.FileMeta{Mode: 0o755, Size: 1})
		s.put("file", []byte("x"), component.FileMeta{Mode: 0o600, Size: 1})
		s.mode("file", 0o600)
	}},
	{"put/replaces a file that is read-only", needsPut, func(s *communicatorCase) {
		s.put("file", []byte("old"), component.FileMeta{Mode: 0o444, Size: 3})
		s.put("file", []byte("new"), component.FileMeta{Mode: 0o444, Size: 3})
		s.same("file", s.get("file"), []byte("new"))
	}},
	{"put/a script can be run", needsRunAndModes, func(s *communicatorCase) {
		script := []byte("#!/bin/sh\necho \"script $1\"\nexit 9\n")
		s.put("script.sh", script, component.FileMeta{Mode: 0o755, Size: int64(len(script))})
		if r := s.sh(s.at("script.sh") + " arg"); r.out != "script arg\n" || r.code != 9 {
			s.Errorf("got %q, %q, code %d", r.out, r.stderr, r.code)
		}
	}},
	{"put/odd names", needsPut, func(s *communicatorCase) {
		for _, name := range s.names() {
			s.put(name, []byte("in "+name), plain(-1))
		}
		for _, name := range s.names() {
			s.same(fmt.Sprintf("%q", name), s.get(name), []byte("in "+name))
		}
	}},
	{"put/into a missing folder", needsPut, func(s *communicatorCase) {
		err := s.c.Put(s.ctx, s.at("missing/file"), strings.NewReader("x"), plain(1))
		if !errors.Is(err, fs.ErrNotExist) {
			s.Errorf("got %v, want fs.ErrNotExist", err)
		}
	}},
	{"put/below a file", needsPut, func(s *communicatorCase) {
		s.put("file", []byte("x"), plain(1))
		if err := s.c.Put(s.ctx, s.at("file/file"), strings.NewReader("y"), plain(1)); err == nil {
			s.Errorf("no error")
		}
		s.same("the file in place of the folder", s.get("file"), []byte("x"))
	}},
	{"put/onto a folder", needsPut, func(s *communicatorCase) {
		if err := s.c.Put(s.ctx, s.dir, strings.NewReader("x"), plain(1)); err == nil {
			s.Errorf("no error")
		}
	}},
	{"put/not allowed", func(c component.Caps, cfg CommunicatorConfig) bool { return c.Put && cfg.Unwritable != "" }, func(s *communicatorCase) {
		err := s.c.Put(s.ctx, s.cfg.Unwritable, strings.NewReader("x"), plain(1))
		if !errors.Is(err, fs.ErrPermission) {
			s.Errorf("got %v, want fs.ErrPermission", err)
		}
	}},
	{"put/source that fails", needsPut, func(s *communicatorCase) {
		src := io.MultiReader(bytes.NewReader(noise(100_000)), failing{errEnough})
		if err := s.c.Put(s.ctx, s.at("file"), src, component.FileMeta{Size: -1}); !errors.Is(err, errEnough) {
			s.Errorf("got %v, want the source's error", err)
		}
	}},
	{"put/eight at a time", needsPut, func(s *communicatorCase) {
		done := make(chan struct{})
		bodies := make([][]byte, 8)
		for i := range bodies {
			bodies[i] = noise(100_000 + i)
			go func() {
				defer func() { done <- struct{}{} }()
				if err := s.c.Put(s.ctx, s.at(fmt.Sprint(i)), bytes.NewReader(bodies[i]), plain(len(bodies[i]))); err != nil {
					s.Errorf("Put: %v", err)
				}
			}()
		}
		for range bodies {
			<-done
		}
		for i, want := range bodies {
			s.same(fmt.Sprintf("file %d", i), s.get(fmt.Sprint(i)), want)
		}
	}},
}

var getChecks = []communicatorCheck{
	{"get/what a command wrote", needsRunAndPut, func(s *communicatorCase) {
		s.sh("printf 'by a command' > " + s.at("file"))
		s.same("file", s.get("file"), []byte("by a command"))
	}},
	{"get/missing file", needsPut, func(s *communicatorCase) {
		var out bytes.Buffer
		if err := s.c.Get(s.ctx, s.at("missing"), &out); !errors.Is(err, fs.ErrNotExist) {
			s.Errorf("got %v, want fs.ErrNotExist", err)
		}
		if out.Len() > 0 {
			s.Errorf("wrote %q", out.String())
		}
	}},
	{"get/missing folder", needsPut, func(s *communicatorCase) {
		if err := s.c.Get(s.ctx, s.at("missing/file"), io.Discard); !errors.Is(err, fs.ErrNotExist) {
			s.Errorf("got %v, want fs.ErrNotExist", err)
		}
	}},
	{"get/a folder", needsPut, func(s *communicatorCase) {
		if err := s.c.Get(s.ctx, s.dir, io.Discard); err == nil {
			s.Errorf("no error")
		}
	}},
	{"get/destination that fails", needsPut, func(s *communicatorCase) {
		s.put("file", noise(1<<20), plain(1<<20))
		n := 0
		err := s.c.Get(s.ctx, s.at("file"), writerFunc(func(p []byte) (int, error) {
			if n += len(p); n > 100_000 {
				return 0, errEnough
			}
			return len(p), nil
		}))
		if !errors.Is(err, errEnough) {
			s.Errorf("got %v, want the destination's error", err)
		}
	}},
}

func needsModes(c component.Caps, cfg CommunicatorConfig) bool {
	return needsPutAndTree(c, cfg) && !cfg.WindowsFiles
}

func needsRunAndModes(c component.Caps, cfg CommunicatorConfig) bool {
	return needsRunAndPut(c, cfg) && !cfg.WindowsFiles
}

func needsPutAndTree(c component.Caps, cfg CommunicatorConfig) bool {
	return needsPut(c, cfg) && needsTree(c, cfg)
}

var treeChecks = []communicatorCheck{
	{"tree/round trip", needsTree, func(s *communicatorCase) {
		s.roundTrip(folder("a", 0o755), file("a/one", []byte("1"), 0o644), folder("a/b", 0o755), file("a/b/two", noise(70_000), 0o644), file("three", nil, 0o644))
	}},
	{"tree/modes", needsLinks, func(s *communicatorCase) {
		s.roundTrip(file("rw", []byte("x"), 0o600), file("all", []byte("x"), 0o777), file("x", []byte("x"), 0o755), file("r", []byte("x"), 0o444), folder("private", 0o700), file("private/f", []byte("x"), 0o640))
	}},
	{"tree/symbolic links", needsLinks, func(s *communicatorCase) {
		s.roundTrip(file("target", []byte("x"), 0o644), link("relative", "target"), link("up", "../elsewhere"), link("absolute", "/etc/hostname"), link("dangling", "nowhere at all"))
	}},
	{"tree/empty folders", needsTree, func(s *communicatorCase) {
		s.roundTrip(folder("empty", 0o755), folder("a", 0o755), folder("a/empty too", 0o755))
	}},
	{"tree/deep and long names", needsTree, func(s *communicatorCase) {
		entries, at := []tarEntry{}, ""
		for i := range 12 {
			at = path.Join(at, fmt.Sprintf("%02d-%s", i, strings.Repeat("n", 40)))
			entries = append(entries, folder(at, 0o755))
		}
		s.roundTrip(append(entries, file(at+"/"+strings.Repeat("l", 200), []byte("deep"), 0o644))...)
	}},
	{"tree/odd names", needsTree, func(s *communicatorCase) {
		var entries []tarEntry
		for i, name := range s.names() {
			entries = append(entries, file(name, []byte(name), 0o644), folder(fmt.Sprintf("d%d", i), 0o755), file(fmt.Sprintf("d%d/%s", i, name), []byte("below"), 0o644))
		}
		s.roundTrip(entries...)
	}},
	{"tree/many files", needsTree, func(s *communicatorCase) {
		var entries []tarEntry
		for i := range 300 {
			entries = append(entries, file(fmt.Sprintf("file-%03d", i), []byte(strings.Repeat(fmt.Sprint(i), 100)), 0o644))
		}
		s.roundTrip(entries...)
	}},
	{"tree/empty archive", needsTree, func(s *communicatorCase) {
		s.putTree("tree")
		if got := s.getTree("tree"); len(got) != 0 {
			s.Errorf("got %v", got)
		}
	}},
	{"tree/folders on the way are made", needsTree, func(s *communicatorCase) {
		s.putTree("not/there/yet", file("f", []byte("x"), 0o644))
		s.compare(s.getTree("not/there/yet"), file("f", []byte("x"), 0o644))
	}},
	{"tree/odd destinations", needsTree, func(s *communicatorCase) {
		for _, name := range s.names() {
			s.putTree(name, file("f", []byte("in "+name), 0o644))
			s.compare(s.getTree(name), file("f", []byte("in "+name), 0o644))
		}
	}},
	{"tree/other files stay", needsTree, func(s *communicatorCase) {
		s.putTree("tree", folder("d", 0o755), file("d/old", []byte("old"), 0o644), file("old", []byte("old"), 0o644))
		s.putTree("tree", folder("d", 0o755), file("d/new", []byte("new"), 0o644))
		s.compare(s.getTree("tree"), folder("d", 0o755), file("d/new", []byte("new"), 0o644), file("d/old", []byte("old"), 0o644), file("old", []byte("old"), 0o644))
	}},
	{"tree/existing files are replaced", needsLinks, func(s *communicatorCase) {
		s.putTree("tree", file("f", []byte("a long old text"), 0o755), file("r", []byte("old"), 0o444), link("l", "old"))
		s.putTree("tree", file("f", []byte("new"), 0o600), file("r", []byte("new"), 0o444), link("l", "new"))
		s.compare(s.getTree("tree"), file("f", []byte("new"), 0o600), file("r", []byte("new"), 0o444), link("l", "new"))
	}},
	{"tree/existing contents are replaced", needsTree, func(s *communicatorCase) {
		s.putTree("tree", file("f", []byte("a long old text"), 0o644), file("g", nil, 0o644))
		s.putTree("tree", file("f", []byte("new"), 0o644), file("g", []byte("full"), 0o644))
		s.compare(s.getTree("tree"), file("f", []byte("new"), 0o644), file("g", []byte("full"), 0o644))
	}},
	{"tree/a link to a folder stays", needsLinks, func(s *communicatorCase) {
		// As with /lib on machines where it is a link to /usr/lib.
		s.putTree("tree", folder("usr", 0o755), folder("usr/lib", 0o755), link("lib", "usr/lib"))
		s.putTree("tree", folder("lib", 0o755), file("lib/f", []byte("x"), 0o644))
		s.compare(s.getTree("tree"), folder("usr", 0o755), folder("usr/lib", 0o755), file("usr/lib/f", []byte("x"), 0o644), link("lib", "usr/lib"))
	}},
	{"tree/files and trees see the same", needsPutAndTree, func(s *communicatorCase) {
		s.putTree("tree", file("from tree", []byte("t"), 0o644))
		s.put("tree/from file", []byte("f"), plain(1))
		s.same("file from the tree", s.get("tree/from tree"), []byte("t"))
		s.compare(s.getTree("tree"), file("from file", []byte("f"), 0o644), file("from tree", []byte("t"), 0o644))
	}},
	{"tree/names are relative", needsTree, func(s *communicatorCase) {
		s.putTree("tree", folder("d", 0o755), file("d/f", []byte("x"), 0o644))
		var out bytes.Buffer
		if err := s.c.GetTree(s.ctx, s.at("tree"), &out); err != nil {
			s.Fatalf("GetTree: %v", err)
		}
		for r := tar.NewReader(&out); ; {
			h, err := r.Next()
			if err == io.EOF {
				return
			}
			if err != nil {
				s.Fatalf("read the archive: %v", err)
			}
			if clean := path.Clean(h.Name); clean != "." && clean != "d" && clean != "d/f" {
				s.Errorf("name %q is not relative to the folder", h.Name)
			}
		}
	}},
	{"tree/onto a file", needsPutAndTree, func(s *communicatorCase) {
		s.put("file", []byte("x"), plain(1))
		if err := s.c.PutTree(s.ctx, s.at("file"), archive(file("f", []byte("y"), 0o644))); err == nil {
			s.Errorf("no error")
		}
		s.same("the file in place of the folder", s.get("file"), []byte("x"))
	}},
	{"tree/missing folder", needsTree, func(s *communicatorCase) {
		if err := s.c.GetTree(s.ctx, s.at("missing"), io.Discard); !errors.Is(err, fs.ErrNotExist) {
			s.Errorf("got %v, want fs.ErrNotExist", err)
		}
	}},
	{"tree/a file is no folder", needsPutAndTree, func(s *communicatorCase) {
		s.put("file", []byte("x"), plain(1))
		if err := s.c.GetTree(s.ctx, s.at("file"), io.Discard); err == nil {
			s.Errorf("no error")
		}
	}},
	{"tree/source that fails", needsTree, func(s *communicatorCase) {
		var all bytes.Buffer
		_, _ = io.Copy(&all, archive(file("f", noise(100_000), 0o644)))
		src := io.MultiReader(io.LimitReader(&all, 60_000), failing{errEnough})
		if err := s.c.PutTree(s.ctx, s.at("tree"), src); !errors.Is(err, errEnough) {
			s.Errorf("got %v, want the source's error", err)
		}
	}},
	{"tree/cut off archive", needsTree, func(s *communicatorCase) {
		var all bytes.Buffer
		_, _ = io.Copy(&all, archive(file("f", noise(100_000), 0o644)))
		if err := s.c.PutTree(s.ctx, s.at("tree"), io.LimitReader(&all, 60_000)); err == nil {
			s.Errorf("no error")
		}
	}},
	{"tree/destination that fails", needsTree, func(s *communicatorCase) {
		s.putTree("tree", file("f", noise(1<<20), 0o644))
		n := 0
		err := s.c.GetTree(s.ctx, s.at("tree"), writerFunc(func(p []byte) (int, error) {
			if n += len(p); n > 100_000 {
				return 0, errEnough
			}
			return len(p), nil
		}))
		if !errors.Is(err, errEnough) {
			s.Errorf("got %v, want the destination's error", err)
		}
	}},
}

var lifeChecks = []communicatorCheck{
	{"caps/undeclared is unsupported", nil, func(s *communicatorCase) {
		try := func(name string, declared bool, call func() error) {
			if err := call(); !declared && !errors.Is(err, component.ErrUnsupported) {
				s.Errorf("%s is not declared; got %v, want ErrUnsupported", name, err)
			} else if declared && errors.Is(err, component.ErrUnsupported) {
				s.Errorf("%s is declared, but: %v", name, err)
			}
		}
		run := func(pty bool) error {
			_, err := s.c.Run(s.ctx, component.Command{Line: "true", PTY: pty})
			return err
		}
		try("Run", s.caps.Run, func() error { return run(false) })
		try("PTY", s.caps.PTY, func() error { return run(true) })
		try("Put", s.caps.Put, func() error { return s.c.Put(s.ctx, s.at("f"), strings.NewReader("x"), plain(1)) })
		try("Get", s.caps.Get, func() error { return s.c.Get(s.ctx, s.at("f"), io.Discard) })
		try("PutTree", s.caps.Tree, func() error { return s.c.PutTree(s.ctx, s.at("t"), archive()) })
		try("GetTree", s.caps.Tree, func() error { return s.c.GetTree(s.ctx, s.at("t"), io.Discard) })
	}},
	{"caps/say shell and transport", nil, func(s *communicatorCase) {
		if s.caps.Run != (s.caps.Shell != 0) {
			s.Errorf("Run is %v, Shell is %v", s.caps.Run, s.caps.Shell)
		}
		if s.caps.Transport == "" {
			s.Errorf("Transport is empty")
		}
	}},
	{"close/then everything fails", nil, func(s *communicatorCase) {
		if err := s.c.Close(); err != nil {
			s.Errorf("Close: %v", err)
		}
		_, run := s.c.Run(s.ctx, component.Command{Line: "true"})
		for name, err := range map[string]error{
			"Run": run,
			"Put": s.c.Put(s.ctx, s.at("f"), strings.NewReader("x"), plain(1)),
			"Get": s.c.Get(s.ctx, s.at("f"), io.Discard),
			// These two must not need the folder to be refused.
			"PutTree": s.c.PutTree(s.ctx, s.dir, archive()),
			"GetTree": s.c.GetTree(s.ctx, s.dir, io.Discard),
		} {
			if err == nil {
				s.Errorf("%s works after Close", name)
			}
		}
	}},
	{"close/while a command runs", needsRun, func(s *communicatorCase) {
		started := &awaited{text: "started"}
		done := make(chan error, 1)
		go func() {
			_, err := s.c.Run(s.ctx, component.Command{Line: "echo started; cat", Stdin: &stalling{stalled: func() {}, until: s.ctx.Done()}, Stdout: started})
			done <- err
		}()
		started.wait(s.ctx)
		_ = s.c.Close()
		if err := <-done; err == nil || s.ctx.Err() != nil {
			s.Errorf("the command that was running: %v", err)
		}
	}},
}

// tarEntry is a member of a test archive.
type tarEntry struct {
	name string
	kind byte
	mode fs.FileMode
	body []byte
	to   string
}

func file(name string, body []byte, mode fs.FileMode) tarEntry {
	return tarEntry{name: name, kind: tar.TypeReg, mode: mode, body: body}
}

func folder(name string, mode fs.FileMode) tarEntry {
	return tarEntry{name: name, kind: tar.TypeDir, mode: mode}
}

func link(name, to string) tarEntry {
	return tarEntry{name: name, kind: tar.TypeSymlink, mode: 0o777, to: to}
}

// archive makes a tar stream.
func archive(entries ...tarEntry) io.Reader {
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, e := range entries {
		h := &tar.Header{Name: e.name, Typeflag: e.kind, Mode: int64(e.mode), Size: int64(len(e.body)), Linkname: e.to, ModTime: time.Unix(1_600_000_000, 0), Format: tar.FormatPAX}
		if e.kind == tar.TypeDir {
			h.Name += "/"
		}
		if err := w.WriteHeader(h); err != nil {
			panic(fmt.Sprintf("componenttest: write a test archive: %v", err))
		}
		if _, err := w.Write(e.body); err != nil {
			panic(fmt.Sprintf("componenttest: write a test archive: %v", err))
		}
	}
	if err := w.Close(); err != nil {
		panic(fmt.Sprintf("componenttest: write a test archive: %v", err))
	}
	return &out
}

func (s *communicatorCase) putTree(name string, entries ...tarEntry) {
	s.Helper()
	if err := s.c.PutTree(s.ctx, s.at(name), archive(entries...)); err != nil {
		s.Fatalf("PutTree(%q): %v", s.at(name), err)
	}
}

// getTree downloads a folder and returns its members by name, without the
// folder itself.
func (s *communicatorCase) getTree(name string) map[string]tarEntry {
	s.Helper()
	var out bytes.Buffer
	if err := s.c.GetTree(s.ctx, s.at(name), &out); err != nil {
		s.Fatalf("GetTree(%q): %v", s.at(name), err)
	}
	got := map[string]tarEntry{}
	for r := tar.NewReader(&out); ; {
		h, err := r.Next()
		if err == io.EOF {
			return got
		}
		if err != nil {
			s.Fatalf("GetTree(%q): read the archive: %v", s.at(name), err)
		}
		body, err := io.ReadAll(r)
		if err != nil {
			s.Fatalf("GetTree(%q): read %q from the archive: %v", s.at(name), h.Name, err)
		}
		clean := path.Clean(h.Name)
		if clean == "." {
			continue
		}
		e := tarEntry{name: clean, kind: h.Typeflag, mode: fs.FileMode(h.Mode).Perm(), body: body, to: h.Linkname}
		if _, twice := got[clean]; twice {
			s.Errorf("GetTree(%q): %q is there twice", s.at(name), clean)
		}
		got[clean] = e
	}
}

// compare checks the members of a tree.
func (s *communicatorCase) compare(got map[string]tarEntry, want ...tarEntry) {
	s.Helper()
	for _, w := range want {
		g, ok := got[w.name]
		delete(got, w.name)
		switch {
		case !ok:
			s.Errorf("%q is missing", w.name)
		case g.kind != w.kind:
			s.Errorf("%q is of type %q, want %q", w.name, g.kind, w.kind)
		case w.kind == tar.TypeSymlink && g.to != w.to:
			s.Errorf("%q points to %q, want %q", w.name, g.to, w.to)
		case w.kind != tar.TypeSymlink && g.mode != w.mode && !s.cfg.WindowsFiles:
			s.Errorf("%q has mode %o, want %o", w.name, g.mode, w.mode)
		case w.kind == tar.TypeReg:
			s.same(fmt.Sprintf("%q", w.name), g.body, w.body)
		}
	}
	var more []string
	for name := range got {
		more = append(more, name)
	}
	if sort.Strings(more); len(more) > 0 {
		s.Errorf("there are also %q", more)
	}
}

func (s *communicatorCase) roundTrip(entries ...tarEntry) {
	s.Helper()
	s.putTree("tree", entries...)
	s.compare(s.getTree("tree"), entries...)
}

// mode checks a file's permission bits.
func (s *communicatorCase) mode(name string, want fs.FileMode) {
	s.Helper()
	if got := s.getTree(".")[name].mode; got != want {
		s.Errorf("%q has mode %o, want %o", name, got, want)
	}
}

// failing is a source that fails.
type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }
