package ssh

import (
	"archive/tar"
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strconv"
	"strings"

	"ingot/internal/component"
	"ingot/internal/winguest"
)

// scpMover copies files with the protocol of the remote program scp.
type scpMover struct{ c *comm }

// line is the command line for scp with some flags.
func (m scpMover) line(flags, target string) (string, error) {
	if !m.c.facts.shell.Windows() {
		return "LC_ALL=C scp -" + flags + " " + quotePath(target), nil
	}
	if strings.ContainsAny(target, "\"%\r\n") {
		return "", fmt.Errorf("a Windows path cannot be %q", target)
	}
	if m.c.facts.shell == component.PowerShell {
		return "scp -" + flags + " " + winguest.Literal(target), nil
	}
	return "scp -" + flags + ` "` + target + `"`, nil
}

// with runs scp and lets f speak with it. f's error is replaced by a better
// one where there is one.
func (m scpMover) with(ctx context.Context, flags, target string, f func(*scpPeer) error) error {
	line, err := m.line(flags, target)
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	toRemote, stdin := io.Pipe()
	stdout, fromRemote := io.Pipe()
	complaint := &tail{}
	spoken := make(chan error, 1)
	go func() {
		p := &scpPeer{w: stdin, r: bufio.NewReaderSize(stdout, copyBuffer)}
		err := f(p)
		if err != nil && !errors.Is(err, errScpClosed) {
			stop(err)
		}
		_ = stdin.CloseWithError(ifReal(err))
		_ = stdout.CloseWithError(io.EOF)
		spoken <- err
	}()
	exit, err := m.c.exec(ctx, command{line: line, stdin: toRemote, stdout: discardClosed{fromRemote}, stderr: complaint})
	_ = fromRemote.Close()
	_ = toRemote.CloseWithError(io.ErrClosedPipe)
	said := <-spoken
	switch {
	case exit.Code == 127 || exit.Code == 9009 || (m.c.facts.shell.Windows() && strings.Contains(complaint.String(), "not recognized")):
		return fmt.Errorf("scp: %w (%s)", errNoMover, complaint)
	case said != nil && !errors.Is(said, errScpClosed):
		return said
	case err != nil:
		return err
	case exit.Code != 0:
		return classify(strings.TrimPrefix(exit.String()+": "+complaint.String(), ": "))
	}
	return said
}

// ifReal is err unless it only says that the other side has ended.
func ifReal(err error) error {
	if errors.Is(err, errScpClosed) {
		return nil
	}
	return err
}

// discardClosed goes on when nobody reads any more.
type discardClosed struct{ w io.Writer }

func (d discardClosed) Write(p []byte) (int, error) {
	if n, err := d.w.Write(p); err == nil {
		return n, nil
	}
	return len(p), nil
}

// errScpClosed says that the remote scp ended early; its exit status and
// standard error tell why.
var errScpClosed = errors.New("scp ended early")

// scpPeer is the other side of the protocol.
type scpPeer struct {
	w io.Writer
	r *bufio.Reader
}

// accept reads an answer: 0 is good, 1 and 2 precede a message.
func (p *scpPeer) accept() error {
	b, err := p.r.ReadByte()
	if err != nil {
		return errScpClosed
	}
	if b == 0 {
		return nil
	}
	text, err := p.r.ReadString('\n')
	if err != nil && text == "" {
		return errScpClosed
	}
	if b != 1 && b != 2 {
		text = string(b) + text
	}
	return classify(strings.TrimSpace(text))
}

// say sends a record and reads the answer.
func (p *scpPeer) say(format string, args ...any) error {
	if _, err := fmt.Fprintf(p.w, format, args...); err != nil {
		return errScpClosed
	}
	return p.accept()
}

// ok tells the other side to go on.
func (p *scpPeer) ok() error {
	if _, err := p.w.Write([]byte{0}); err != nil {
		return errScpClosed
	}
	return nil
}

// send uploads one file.
func (p *scpPeer) send(name string, mode fs.FileMode, size int64, src io.Reader) error {
	// The name's only use is to be reported; a newline would end the record.
	if strings.ContainsRune(name, '\n') {
		return fmt.Errorf("the SCP protocol cannot carry the name %q", name)
	}
	if err := p.say("C%04o %d %s\n", unixMode(mode), size, name); err != nil {
		return err
	}
	in := &source{r: io.LimitReader(src, size)}
	n, err := io.CopyBuffer(struct{ io.Writer }{p.w}, in, make([]byte, copyBuffer))
	switch {
	case in.err != nil:
		return fmt.Errorf("read the input: %w", in.err)
	case err != nil:
		return errScpClosed
	case n < size:
		return fmt.Errorf("the source ended after %d of %d bytes: %w", n, size, io.ErrUnexpectedEOF)
	}
	if err := p.ok(); err != nil {
		return err
	}
	return p.accept()
}

// noName is sent as a file's name. scp ignores it unless the target is a
// folder; then it would make a file in there, but no file can have this name.
var noName = strings.Repeat("x", 300)

func (m scpMover) put(ctx context.Context, dst string, src io.Reader, meta component.FileMeta) error {
	// The protocol wants the size first.
	spool, size, err := m.spool(ctx, src)
	if err != nil {
		return err
	}
	defer func() { _ = spool.Close() }() // it has no name any more
	return m.with(ctx, "pt", dst, func(p *scpPeer) error {
		if err := p.accept(); err != nil {
			return err
		}
		return p.send(noName, meta.Mode, size, spool)
	})
}

// spool copies src to a file that is gone when it is closed.
func (m scpMover) spool(ctx context.Context, src io.Reader) (*os.File, int64, error) {
	f, err := os.CreateTemp(m.c.a.r.WorkDir, "upload-*")
	if err != nil {
		return nil, 0, fmt.Errorf("keep the upload: %w", err)
	}
	if err := os.Remove(f.Name()); err != nil {
		_ = f.Close()
		return nil, 0, fmt.Errorf("keep the upload: %w", err)
	}
	src, done := stoppable(ctx, src)
	defer done()
	size, err := io.CopyBuffer(f, src, make([]byte, copyBuffer))
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		_ = f.Close()
		return nil, 0, err
	}
	return f, size, nil
}

func (m scpMover) get(ctx context.Context, src string, dst io.Writer) error {
	return m.with(ctx, "f", src, func(p *scpPeer) error {
		rec, err := p.next()
		if err != nil {
			return err
		}
		if rec.kind != 'C' {
			return fmt.Errorf("scp: expected a file, got a record of type %q", rec.kind)
		}
		if err := p.receive(rec, dst); err != nil {
			return err
		}
		return p.ok()
	})
}

// record is what a sending scp says before a file or folder.
type record struct {
	kind byte // 'C', 'D' or 'E'
	mode fs.FileMode
	size int64
	name string
}

// maxRecord is the longest record that is read.
const maxRecord = 64 << 10

// next asks for a record and reads it. The end is io.EOF.
func (p *scpPeer) next() (record, error) {
	if err := p.ok(); err != nil {
		return record{}, err
	}
	line, err := p.line()
	if err != nil {
		return record{}, err
	}
	return parseRecord(line)
}

func (p *scpPeer) line() (string, error) {
	var out []byte
	for {
		part, err := p.r.ReadSlice('\n')
		out = append(out, part...)
		switch {
		case err == nil:
			return strings.TrimSuffix(string(out), "\n"), nil
		case len(out) > maxRecord:
			return "", errors.New("scp: a record is too long")
		case errors.Is(err, bufio.ErrBufferFull):
		case len(out) == 0:
			return "", errScpClosed
		default:
			return "", io.ErrUnexpectedEOF
		}
	}
}

// parseRecord reads one record. Names are used only after remoteName.
func parseRecord(line string) (record, error) {
	if line == "" {
		return record{}, errors.New("scp: an empty record")
	}
	kind, rest := line[0], line[1:]
	switch kind {
	case 1, 2:
		return record{}, classify(rest)
	case 'E':
		return record{kind: kind}, nil
	case 'C', 'D':
	default:
		return record{}, fmt.Errorf("scp: unexpected record %q", line)
	}
	mode, rest, ok := strings.Cut(rest, " ")
	size, name, ok2 := strings.Cut(rest, " ")
	bits, err := strconv.ParseUint(mode, 8, 12)
	n, err2 := strconv.ParseInt(size, 10, 64)
	if !ok || !ok2 || err != nil || err2 != nil || n < 0 {
		return record{}, fmt.Errorf("scp: malformed record %q", line)
	}
	if err := remoteName(name); err != nil {
		return record{}, err
	}
	return record{kind, fs.FileMode(bits).Perm(), n, name}, nil
}

// receive downloads the file of a record.
func (p *scpPeer) receive(rec record, dst io.Writer) error {
	if err := p.ok(); err != nil {
		return err
	}
	out := &sink{w: dst}
	if _, err := io.CopyN(out, p.r, rec.size); err != nil {
		if out.err != nil {
			return out.err
		}
		return errScpClosed
	}
	return p.accept()
}

// sink remembers a writer's error.
type sink struct {
	w   io.Writer
	err error
}

func (s *sink) Write(p []byte) (int, error) {
	n, err := s.w.Write(p)
	if err != nil {
		s.err = fmt.Errorf("write the output: %w", err)
	}
	return n, err
}

// putTree needs a POSIX shell for what the protocol does not have.
func (m scpMover) putTree(ctx context.Context, dst string, archive io.Reader) error {
	if err := m.c.shell(ctx, command{line: "mkdir -p " + quotePath(dst) + " || exit 83; [ -w " + quotePath(dst) + " ] || exit 82; command -v scp >/dev/null || exit 127"}); err != nil {
		if strings.Contains(err.Error(), "exit code 127") {
			return fmt.Errorf("scp: %w", errNoMover)
		}
		return err
	}
	archive, done := stoppable(ctx, archive)
	defer done()
	t := &scpTree{modes: map[string]fs.FileMode{}, tar: tar.NewReader(archive)}
	err := m.with(ctx, "rpt", dst, func(p *scpPeer) error {
		t.p = p
		if err := p.accept(); err != nil {
			return err
		}
		return t.send()
	})
	if err != nil || t.links.Len() == 0 {
		return err
	}
	return m.c.shell(ctx, command{line: "cd " + quotePath(dst) + " && set -e" + t.links.String()})
}

// scpTree sends an archive as nested records.
type scpTree struct {
	p     *scpPeer
	tar   *tar.Reader
	at    []string // the folders that are open
	modes map[string]fs.FileMode
	links bytes.Buffer // commands that make the symbolic links
}

func (t *scpTree) send() error {
	for {
		h, err := t.tar.Next()
		if err == io.EOF {
			return t.enter("")
		}
		if err != nil {
			return err
		}
		name := strings.TrimPrefix(path.Clean("/"+h.Name), "/")
		switch h.Typeflag {
		case tar.TypeDir:
			t.modes[name] = h.FileInfo().Mode().Perm()
			err = t.enter(name)
		case tar.TypeReg:
			if err = t.enter(strings.TrimSuffix(path.Dir(name), ".")); err == nil {
				err = t.p.send(path.Base(name), h.FileInfo().Mode(), h.Size, t.tar)
			}
		case tar.TypeSymlink:
			fmt.Fprintf(&t.links, "; rm -f %s; ln -s %s %s", quotePath(name), quotePath(h.Linkname), quotePath(name))
		default:
			err = fmt.Errorf("the SCP protocol cannot carry a member of type %q", h.Typeflag)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", h.Name, err)
		}
	}
}

// enter leaves and enters folders until the one with a name is open.
func (t *scpTree) enter(name string) error {
	var want []string
	if name != "" {
		want = strings.Split(name, "/")
	}
	same := 0
	for same < len(want) && same < len(t.at) && want[same] == t.at[same] {
		same++
	}
	for len(t.at) > same {
		if err := t.p.say("E\n"); err != nil {
			return err
		}
		t.at = t.at[:len(t.at)-1]
	}
	for _, part := range want[same:] {
		if strings.ContainsRune(part, '\n') {
			return fmt.Errorf("the SCP protocol cannot carry the name %q", part)
		}
		t.at = append(t.at, part)
		mode, ok := t.modes[strings.Join(t.at, "/")]
		if !ok {
			mode = 0o755
		}
		if err := t.p.say("D%04o 0 %s\n", mode, part); err != nil {
			return err
		}
	}
	return nil
}

// getTree packs what scp sends. It follows symbolic links.
func (m scpMover) getTree(ctx context.Context, src string, archive io.Writer) error {
	return m.with(ctx, "rf", src, func(p *scpPeer) error {
		top, err := p.next()
		if err != nil {
			return err
		}
		if top.kind != 'D' {
			return errors.New("not a directory")
		}
		w := tar.NewWriter(archive)
		if err := p.pack(w, ""); err != nil {
			return err
		}
		if err := w.Close(); err != nil {
			return err
		}
		return p.ok()
	})
}

// pack reads the members of an open folder up to its end.
func (p *scpPeer) pack(w *tar.Writer, at string) error {
	for {
		rec, err := p.next()
		if err != nil || rec.kind == 'E' {
			return err
		}
		name := path.Join(at, rec.name)
		h := &tar.Header{Name: name, Mode: int64(rec.mode), Size: rec.size, Typeflag: tar.TypeReg, Format: tar.FormatGNU}
		if rec.kind == 'D' {
			h.Name, h.Size, h.Typeflag = name+"/", 0, tar.TypeDir
		}
		if err := w.WriteHeader(h); err != nil {
			return err
		}
		if rec.kind == 'D' {
			err = p.pack(w, name)
		} else {
			err = p.receive(rec, w)
		}
		if err != nil {
			return err
		}
	}
}
