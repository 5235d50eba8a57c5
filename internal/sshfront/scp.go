package sshfront

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strconv"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
	"mvdan.cc/sh/v3/syntax"

	"ingot/internal/component"
)

// scpCall is the command by which an scp client of the old protocol starts the
// other side. It is answered here, so that the machine needs no scp.
type scpCall struct {
	receive   bool // the client sends
	recursive bool
	times     bool
	folder    bool // the path has to be a folder
	path      string
}

// parseSCP recognises such a command. One with words that a shell would expand
// is not, and is left to the machine.
func parseSCP(line string) (scpCall, bool) {
	if !strings.HasPrefix(line, "scp ") {
		return scpCall{}, false
	}
	words, ok := plainWords(line)
	if !ok {
		return scpCall{}, false
	}
	var c scpCall
	send := false
	for i, w := range words[1:] {
		switch {
		case w == "--" && len(words) == i+3:
			c.path = words[i+2]
			return c, c.receive != send
		case !strings.HasPrefix(w, "-") && len(words) == i+2:
			c.path = w
			return c, c.receive != send
		case !strings.HasPrefix(w, "-"):
			return scpCall{}, false
		}
		for _, option := range w[1:] {
			switch option {
			case 't':
				c.receive = true
			case 'f':
				send = true
			case 'r':
				c.recursive = true
			case 'p':
				c.times = true
			case 'd':
				c.folder = true
			case 'v', 'q':
			default:
				return scpCall{}, false
			}
		}
	}
	return scpCall{}, false
}

// plainWords splits one simple command whose words stand for themselves.
func plainWords(line string) ([]string, bool) {
	file, err := syntax.NewParser(syntax.Variant(syntax.LangPOSIX)).Parse(strings.NewReader(line), "")
	if err != nil || len(file.Stmts) != 1 {
		return nil, false
	}
	s := file.Stmts[0]
	call, ok := s.Cmd.(*syntax.CallExpr)
	if !ok || len(call.Assigns) > 0 || len(s.Redirs) > 0 || s.Background || s.Negated {
		return nil, false
	}
	var words []string
	for _, w := range call.Args {
		text, ok := plainWord(w)
		if !ok {
			return nil, false
		}
		words = append(words, text)
	}
	return words, len(words) > 0
}

func plainWord(w *syntax.Word) (string, bool) {
	var b strings.Builder
	for _, part := range w.Parts {
		switch part := part.(type) {
		case *syntax.Lit:
			if strings.ContainsAny(part.Value, `\*?[~`) {
				return "", false
			}
			b.WriteString(part.Value)
		case *syntax.SglQuoted:
			b.WriteString(part.Value)
		case *syntax.DblQuoted:
			for _, inner := range part.Parts {
				lit, ok := inner.(*syntax.Lit)
				if !ok || strings.Contains(lit.Value, `\`) {
					return "", false
				}
				b.WriteString(lit.Value)
			}
		default:
			return "", false
		}
	}
	return b.String(), true
}

// scp is one transfer.
type scp struct {
	m    *machine
	in   *bufio.Reader
	out  io.Writer
	call scpCall
}

// errTold is an error that the client knows of.
var errTold = errors.New("the client has been told")

// scp answers a client of the old protocol.
func (s *Server) scp(ctx context.Context, ch ssh.Channel, c scpCall) component.Exit {
	t := &scp{m: &machine{s: s, ctx: ctx, uploads: map[string]*upload{}}, in: bufio.NewReader(ch), out: ch, call: c}
	do := t.send
	if c.receive {
		do = t.receive
	}
	err := do()
	if err != nil && !errors.Is(err, errTold) {
		_ = t.complain(err) // the client may have gone
	}
	if err != nil {
		return component.Exit{Code: 1}
	}
	return component.Exit{}
}

// accept tells the client that all is well.
func (t *scp) accept() error {
	_, err := t.out.Write([]byte{0})
	return err
}

// complain tells the client of an error, and returns errTold.
func (t *scp) complain(err error) error {
	text := strings.ReplaceAll(err.Error(), "\n", " ")
	if _, err := fmt.Fprintf(t.out, "\x01scp: %s: %s\n", t.call.path, text); err != nil {
		return err
	}
	return errTold
}

// answer reads what the client thinks of what it was sent.
func (t *scp) answer() error {
	b, err := t.in.ReadByte()
	if err != nil || b == 0 {
		return err
	}
	text, _ := t.in.ReadString('\n')
	return fmt.Errorf("the client says: %s: %w", strings.TrimSpace(text), errTold)
}

// receive takes files from the client.
func (t *scp) receive() error {
	exists, isFolder := false, false
	if i, err := t.m.info(t.call.path, "-L"); err == nil {
		exists, isFolder = true, i.IsDir()
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if t.call.folder && !isFolder {
		return errors.New("not a folder")
	}
	if err := t.accept(); err != nil {
		return err
	}
	// Within an announced folder, names are those of its members.
	var folders []string
	at := func(name string) string {
		switch {
		case len(folders) > 0:
			return path.Join(folders[len(folders)-1], name)
		case isFolder:
			return path.Join(t.call.path, name)
		}
		return t.call.path
	}
	var modified time.Time
	failed := false
	for {
		line, err := t.in.ReadString('\n')
		if errors.Is(err, io.EOF) && line == "" {
			if failed {
				return errTold
			}
			return nil
		}
		if err != nil {
			return err
		}
		kind, rest := line[0], strings.TrimSuffix(line[1:], "\n")
		switch kind {
		case 'T':
			seconds, _, _ := strings.Cut(rest, " ")
			n, err := strconv.ParseInt(seconds, 10, 64)
			if err != nil {
				return fmt.Errorf("time %q: %w", rest, err)
			}
			modified = time.Unix(n, 0)
			err = t.accept()
			if err != nil {
				return err
			}
			continue
		case 'E':
			if len(folders) == 0 {
				return errors.New("the end of a folder that has not begun")
			}
			folders = folders[:len(folders)-1]
			err = t.accept()
		case 'C', 'D':
			var h header
			if h, err = parseHeader(rest); err != nil {
				return err
			}
			if kind == 'C' {
				err = t.receiveFile(at(h.name), h, modified)
				break
			}
			if !t.call.recursive {
				return errors.New("a folder was not asked for")
			}
			dir := at(h.name)
			if len(folders) == 0 && !exists {
				dir = t.call.path
			}
			if _, err = t.m.shell("mkdir -p -- " + word(dir)); err != nil {
				return err
			}
			folders = append(folders, dir)
			err = t.accept()
		case 1, 2:
			failed = true // the client goes on with other files, or ends
		default:
			return fmt.Errorf("message %q is not known", line)
		}
		if errors.Is(err, errTold) {
			failed, err = true, nil
		}
		if err != nil {
			return err
		}
		modified = time.Time{}
	}
}

// header announces a file or a folder.
type header struct {
	mode fs.FileMode
	size int64
	name string
}

func parseHeader(text string) (header, error) {
	f := strings.SplitN(text, " ", 3)
	if len(f) != 3 {
		return header{}, fmt.Errorf("announcement %q is not understood", text)
	}
	mode, err := strconv.ParseUint(f[0], 8, 32)
	if err != nil {
		return header{}, fmt.Errorf("mode %q: %w", f[0], err)
	}
	size, err := strconv.ParseInt(f[1], 10, 64)
	if err != nil || size < 0 {
		return header{}, fmt.Errorf("size %q is not understood", f[1])
	}
	if f[2] == "" || f[2] == "." || f[2] == ".." || strings.Contains(f[2], "/") {
		return header{}, fmt.Errorf("%q cannot be the name of a file", f[2])
	}
	return header{fs.FileMode(mode & 0o777), size, f[2]}, nil
}

func (t *scp) receiveFile(dst string, h header, modified time.Time) error {
	if err := t.accept(); err != nil {
		return err
	}
	body := &io.LimitedReader{R: t.in, N: h.size}
	putErr := t.m.s.comm.Put(t.m.ctx, dst, body, component.FileMeta{Mode: h.mode, Size: h.size, ModTime: modified})
	// What the machine did not want is on its way all the same.
	if _, err := io.Copy(io.Discard, body); err != nil {
		return err
	}
	if body.N > 0 {
		return io.ErrUnexpectedEOF
	}
	if err := t.answer(); err != nil {
		return err
	}
	if putErr != nil {
		return t.complain(plain(putErr))
	}
	return t.accept()
}

// send gives a file or a folder to the client.
func (t *scp) send() error {
	if err := t.answer(); err != nil {
		return err
	}
	i, err := t.m.info(t.call.path, "-L")
	if err != nil {
		return err
	}
	i.name = path.Base(t.call.path)
	return t.sendOne(t.call.path, i)
}

func (t *scp) sendOne(name string, i info) error {
	if i.IsDir() && !t.call.recursive {
		return errors.New("is a folder")
	}
	if !i.IsDir() && !i.Mode().IsRegular() {
		return fmt.Errorf("%s is neither a file nor a folder", name)
	}
	if t.call.times {
		if err := t.say("T%d 0 %d 0\n", i.modified.Unix(), i.modified.Unix()); err != nil {
			return err
		}
	}
	if i.IsDir() {
		return t.sendFolder(name, i)
	}
	return t.sendFile(name, i)
}

// say sends a message and waits for the answer.
func (t *scp) say(format string, args ...any) error {
	if _, err := fmt.Fprintf(t.out, format, args...); err != nil {
		return err
	}
	return t.answer()
}

func (t *scp) sendFolder(name string, i info) error {
	members, err := t.m.entries(name)
	if err != nil {
		return err
	}
	if err := t.say("D%04o 0 %s\n", i.mode.Perm(), i.name); err != nil {
		return err
	}
	for _, m := range members {
		below := path.Join(name, m.name)
		if m.mode.Type() == fs.ModeSymlink {
			to, err := t.m.info(below, "-L")
			if err != nil {
				return err
			}
			to.name = m.name
			m = to
		}
		if err := t.sendOne(below, m); err != nil {
			return err
		}
	}
	return t.say("E\n")
}

// sendFile fetches a file first, so that the announced size is right.
func (t *scp) sendFile(name string, i info) error {
	f, err := t.m.temporary()
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // it was only read
	if err := t.m.s.comm.Get(t.m.ctx, name, f); err != nil {
		return plain(err)
	}
	size, err := f.Seek(0, io.SeekEnd)
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		return err
	}
	if err := t.say("C%04o %d %s\n", i.mode.Perm(), size, i.name); err != nil {
		return err
	}
	if _, err := io.Copy(t.out, f); err != nil {
		return err
	}
	return t.say("\x00")
}
