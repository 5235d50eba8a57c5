package packerwire

import (
	"archive/tar"
	"context"
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"net"
	"path"
	"path/filepath"
	"strings"
	"sync"

	"ingot/internal/component"
	"ingot/internal/treecopy"
)

// AddCommunicator adds the service Communicator for a machine. The streams of its
// calls go over c. done waits for the commands that are running, which end with the
// context of Serve; it is called when the stream is not served any more.
func (s Services) AddCommunicator(c *Conn, machine component.Communicator) (done func()) {
	v := &communicatorServer{conn: c, machine: machine}
	s[communicatorService] = v
	return v.running.Wait
}

type communicatorServer struct {
	conn    *Conn
	machine component.Communicator
	running sync.WaitGroup
}

func (s *communicatorServer) Call(ctx context.Context, method string, arg Argument) (any, error) {
	switch method {
	case "Start":
		return call(ctx, arg, s.start)
	case "Upload":
		return call(ctx, arg, s.upload)
	case "Download":
		return call(ctx, arg, s.download)
	case "UploadDir":
		return call(ctx, arg, s.uploadDir)
	case "DownloadDir":
		return call(ctx, arg, s.downloadDir)
	}
	return nil, ErrNoMethod
}

func call[A any](ctx context.Context, arg Argument, do func(context.Context, A) error) (any, error) {
	var a A
	if err := arg(&a); err != nil {
		return nil, err
	}
	return nil, do(ctx, a)
}

// start opens the streams of a command and starts it.
func (s *communicatorServer) start(ctx context.Context, a startArgs) (err error) {
	var streams [4]net.Conn // stdin, stdout, stderr, response
	defer func() {
		if err != nil {
			abandonAll(streams[:])
		}
	}()
	for i, id := range []uint32{a.StdinStreamId, a.StdoutStreamId, a.StderrStreamId, a.ResponseStreamId} {
		if id == 0 {
			continue
		}
		if streams[i], err = s.conn.Dial(ctx, id); err != nil {
			return err
		}
	}
	if streams[3] == nil {
		return errors.New("a command needs a stream for its exit status")
	}
	s.running.Add(1)
	go func() { // the function that AddCommunicator returned waits for it
		defer s.running.Done()
		s.run(ctx, a.Command, streams)
	}()
	return nil
}

// run runs a command to its end. When the caller gives up the response stream, nobody
// waits for the command any more and it is ended.
func (s *communicatorServer) run(ctx context.Context, line string, streams [4]net.Conn) {
	ctx, cancel := context.WithCancelCause(ctx)
	response := streams[3]
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		_, _ = response.Read(make([]byte, 1)) // nothing ever comes: it ends
		cancel(errors.New("the caller has given the command up"))
	}()
	cmd := component.Command{Line: line}
	if streams[0] != nil {
		cmd.Stdin = streams[0]
	}
	if streams[1] != nil {
		cmd.Stdout = streams[1]
	}
	if streams[2] != nil {
		cmd.Stderr = streams[2]
	}
	exit, err := s.machine.Run(ctx, cmd)
	status := exit.Code
	if errors.Is(err, component.ErrDisconnected) {
		status, err = disconnectedStatus, nil
	}
	// Without a status the caller knows that there is none; why, it can only be told
	// as output.
	if err == nil {
		_ = gob.NewEncoder(response).Encode(&commandFinished{status}) // who does not read it is gone
	} else if streams[2] != nil && ctx.Err() == nil {
		fmt.Fprintln(streams[2], err)
	}
	_ = response.Close()
	for _, stream := range []net.Conn{streams[2], streams[1], streams[0]} {
		if stream != nil {
			_ = stream.Close()
		}
	}
	if streams[0] != nil {
		expire(streams[0])
	}
	expire(response)
	<-watched
	cancel(nil)
}

func abandonAll(streams []net.Conn) {
	for _, s := range streams {
		if s != nil {
			abandon(s)
		}
	}
}

func (s *communicatorServer) upload(ctx context.Context, a uploadArgs) error {
	stream, err := s.conn.Dial(ctx, a.ReaderStreamId)
	if err != nil {
		return err
	}
	defer abandon(stream)
	unhook := context.AfterFunc(ctx, func() { expire(stream) })
	defer unhook()
	return s.machine.Put(ctx, a.Path, stream, a.FileInfo.meta())
}

func (s *communicatorServer) download(ctx context.Context, a downloadArgs) error {
	stream, err := s.conn.Dial(ctx, a.WriterStreamId)
	if err != nil {
		return err
	}
	unhook := context.AfterFunc(ctx, func() { expire(stream) })
	defer unhook()
	err = s.machine.Get(ctx, a.Path, stream)
	return errors.Join(err, stream.Close())
}

// uploadDir copies a folder of this machine. A source without a slash at its end is
// itself made below the destination.
func (s *communicatorServer) uploadDir(ctx context.Context, a dirArgs) error {
	var o treecopy.PackOptions
	if !endsInSlash(a.Src) {
		o.Prefix = filepath.Base(a.Src)
	}
	r, w := io.Pipe()
	packed := make(chan error, 1)
	go func() {
		err := packWithout(ctx, w, a.Src, o, a.Exclude)
		_ = w.CloseWithError(err)
		packed <- err
	}()
	err := s.machine.PutTree(ctx, a.Dst, r)
	_ = r.CloseWithError(errors.New("the machine takes no more"))
	if packErr := <-packed; err == nil {
		err = packErr
	}
	return err
}

// downloadDir copies a folder of the machine to this one.
func (s *communicatorServer) downloadDir(ctx context.Context, a dirArgs) error {
	dst := a.Dst
	if !endsInSlash(a.Src) {
		dst = filepath.Join(dst, path.Base(strings.ReplaceAll(a.Src, `\`, "/")))
	}
	r, w := io.Pipe()
	unpacked := make(chan error, 1)
	go func() {
		err := unpackWithout(ctx, r, dst, a.Exclude)
		if err == nil {
			_, err = io.Copy(io.Discard, r) // what fills the last block
		}
		_ = r.CloseWithError(err)
		unpacked <- err
	}()
	err := s.machine.GetTree(ctx, strings.TrimRight(a.Src, `/`), w)
	_ = w.CloseWithError(err)
	if unpackErr := <-unpacked; err == nil {
		err = unpackErr
	}
	return err
}

func endsInSlash(p string) bool {
	return strings.HasSuffix(p, "/") || strings.HasSuffix(p, string(filepath.Separator))
}

// packWithout packs a folder without the files that a pattern matches.
func packWithout(ctx context.Context, w io.Writer, dir string, o treecopy.PackOptions, exclude []string) error {
	if len(exclude) == 0 {
		return treecopy.Pack(ctx, w, dir, o)
	}
	r, pw := io.Pipe()
	packed := make(chan error, 1)
	go func() {
		err := treecopy.Pack(ctx, pw, dir, o)
		_ = pw.CloseWithError(err)
		packed <- err
	}()
	err := without(r, w, exclude)
	_ = r.CloseWithError(err)
	return errors.Join(<-packed, err)
}

// unpackWithout unpacks a folder without the files that a pattern matches. After an error
// what is left of r need not be read.
func unpackWithout(ctx context.Context, r *io.PipeReader, dir string, exclude []string) error {
	if len(exclude) == 0 {
		return treecopy.Unpack(ctx, r, dir, treecopy.UnpackOptions{})
	}
	filtered, w := io.Pipe()
	copied := make(chan struct{})
	go func() {
		defer close(copied)
		_ = w.CloseWithError(without(r, w, exclude))
	}()
	err := treecopy.Unpack(ctx, filtered, dir, treecopy.UnpackOptions{})
	if err != nil {
		_ = r.CloseWithError(err)
	}
	_ = filtered.CloseWithError(err)
	<-copied
	return err
}

// without copies a tar stream but for the members that a pattern matches, by their path
// or a part of it.
func without(r io.Reader, w io.Writer, exclude []string) error {
	in, out := tar.NewReader(r), tar.NewWriter(w)
	for {
		h, err := in.Next()
		if err == io.EOF {
			return out.Close()
		}
		if err != nil {
			return err
		}
		if excluded(h.Name, exclude) {
			continue
		}
		if err := out.WriteHeader(h); err != nil {
			return err
		}
		if _, err := io.Copy(out, in); err != nil {
			return err
		}
	}
}

func excluded(name string, patterns []string) bool {
	name = path.Clean(name)
	for _, p := range patterns {
		p = strings.TrimSuffix(filepath.ToSlash(p), "/")
		for part := name; part != "." && part != "/"; part = path.Dir(part) {
			whole, err := path.Match(p, part)
			if err != nil {
				whole = p == part
			}
			if base, _ := path.Match(p, path.Base(part)); whole || base {
				return true
			}
		}
	}
	return false
}
