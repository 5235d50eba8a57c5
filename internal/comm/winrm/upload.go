package winrm

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"ingot/internal/component"
)

const (
	// maxWorkers is how many shells one transfer uses at a time. Windows allows
	// 30 for a user, of which the transfers of a build may be several.
	maxWorkers = 6
	// workerShare is how many bytes there must be for one more shell: to start
	// PowerShell takes about as long as to write them.
	workerShare = 1 << 20
	// chunkSize is how many bytes one instruction carries, so that it fits into
	// one request together with a path.
	chunkSize = (inputSize - 4096) / 4 * 3
	// maxPath in bytes; Windows takes 32767 characters at the very most.
	maxPath = 3000
)

// upload writes files on the machine. Their contents go to temporary names beside
// them; the files get their names when everything has arrived.
type upload struct {
	client *client
	ctx    context.Context //nolint:containedctx // it is the upload's life
	fail   context.CancelCauseFunc

	// work is the instructions that any worker may do, in any order but that
	// of the ones for the first worker alone while there is no other.
	work   chan []byte
	others sync.WaitGroup
	first  chan error

	workers int
	refused bool // the machine does not allow more shells; guarded by mu
	mu      sync.Mutex

	sent     int64
	pending  []string // temporary files that may exist
	complete [][]byte // what the first worker does at the end
}

func newUpload(ctx context.Context, c *client) *upload {
	ctx, fail := context.WithCancelCause(ctx)
	u := &upload{client: c, ctx: ctx, fail: fail, work: make(chan []byte, 2), first: make(chan error, 1)}
	u.workers = 1
	go func() { u.first <- u.run(true) }()
	return u
}

// run is a worker.
func (u *upload) run(first bool) error {
	src := &instructions{u: u, first: first}
	var out, errs tail
	exit, err := execute(u.ctx, u.client, component.Command{
		Line: powershell(script(putScript)), Stdin: src, Stdout: &out, Stderr: &errs,
	})
	if err == nil {
		err = verdict(exit, out.String(), errs.String())
	}
	if err == nil {
		return nil
	}
	var f *fault
	if !first && !src.taken && errors.As(err, &f) {
		u.mu.Lock()
		u.refused = true
		u.mu.Unlock()
		return nil
	}
	u.fail(err)
	return err
}

// instructions is the input of a worker.
type instructions struct {
	u       *upload
	first   bool
	taken   bool
	left    []byte
	closing bool // what is left of the first worker's are the last ones
}

// Read waits for an instruction and takes as many more as there are.
func (i *instructions) Read(p []byte) (int, error) {
	n := 0
	for n < len(p) {
		if len(i.left) > 0 {
			m := copy(p[n:], i.left)
			i.left, n = i.left[m:], n+m
			continue
		}
		line, err := i.next(n == 0)
		if err != nil && n == 0 {
			return 0, err
		}
		if line == nil {
			break
		}
		i.left = line
	}
	return n, nil
}

// next returns nil when there is nothing yet and it may not wait.
func (i *instructions) next(wait bool) ([]byte, error) {
	if i.closing {
		return nil, io.EOF
	}
	if !wait {
		select {
		case line, ok := <-i.u.work:
			if ok {
				return line, nil
			}
		default:
		}
		return nil, nil
	}
	select {
	case line, ok := <-i.u.work:
		if ok {
			i.taken = true
			return line, nil
		}
	case <-i.u.ctx.Done():
		return nil, context.Cause(i.u.ctx)
	}
	if i.closing = true; !i.first {
		return nil, io.EOF
	}
	i.u.others.Wait()
	if i.u.ctx.Err() != nil {
		return nil, context.Cause(i.u.ctx)
	}
	if all := bytes.Join(i.u.complete, nil); len(all) > 0 {
		return all, nil
	}
	return nil, io.EOF
}

// instruct hands an instruction to whichever worker is free.
func (u *upload) instruct(words ...string) error {
	line := []byte(strings.Join(words, " ") + "\n")
	select {
	case u.work <- line:
	case <-u.ctx.Done():
		return context.Cause(u.ctx)
	}
	u.sent += int64(len(line))
	u.mu.Lock()
	more := !u.refused && u.workers < maxWorkers && u.sent > int64(u.workers)*workerShare
	u.mu.Unlock()
	if more {
		u.workers++
		u.others.Go(func() { _ = u.run(false) }) // it has called fail
	}
	return nil
}

// folder makes a folder.
func (u *upload) folder(name string) error { return u.instruct("d", encode(name)) }

// file writes one file. With parents its folder is made.
func (u *upload) file(name string, src io.Reader, modified time.Time, parents bool) error {
	if len(name) > maxPath {
		return fmt.Errorf("the path has %d bytes; at most %d are possible", len(name), maxPath)
	}
	temporary := name[:strings.LastIndexAny(name, `\/`)+1] + ".ingot-" + token()
	u.pending = append(u.pending, temporary)
	verb := "w"
	if parents {
		verb = "W"
	}
	sum, buf, offset := sha256.New(), make([]byte, chunkSize), int64(0)
	for ended := false; !ended; {
		n, err := fill(src, buf)
		if ended = err == io.EOF; err != nil && !ended {
			return fmt.Errorf("read the source: %w", err)
		}
		if n == 0 && offset > 0 {
			break
		}
		sum.Write(buf[:n])
		if err := u.instruct(verb, encode(temporary), fmt.Sprint(offset), base64.StdEncoding.EncodeToString(buf[:n])); err != nil {
			return err
		}
		offset += int64(n)
	}
	ms := int64(0)
	if !modified.IsZero() {
		ms = modified.UnixMilli()
	}
	u.complete = append(u.complete, []byte(fmt.Sprintf("f %s %s %d %s %d\n", encode(temporary), encode(name),
		offset, strings.ToUpper(hex.EncodeToString(sum.Sum(nil))), ms)))
	return nil
}

// fill reads until buf is full or the source ends, which is io.EOF. Unlike
// io.ReadFull it leaves the source's own errors as they are.
func fill(src io.Reader, buf []byte) (int, error) {
	n := 0
	for n < len(buf) {
		m, err := src.Read(buf[n:])
		if n += m; err != nil {
			return n, err
		}
	}
	return n, nil
}

// do runs produce, which gives the instructions, and waits until the machine has
// done them all.
func (u *upload) do(produce func() error) error {
	produced := make(chan error, 1)
	// A read of the source that does not end outlives us.
	go func() {
		err := produce()
		if err != nil {
			u.fail(err)
		}
		close(u.work)
		produced <- err
	}()
	err := <-u.first
	if err != nil {
		u.fail(err)
		err = context.Cause(u.ctx) // the first thing that went wrong
	}
	defer u.fail(nil)
	if err == nil {
		return nil
	}
	soon := time.NewTimer(time.Second)
	defer soon.Stop()
	select {
	case <-produced:
		u.others.Wait()
		u.tidy()
	case <-soon.C:
		// Still in a read of the source: it may yet add to what is pending.
		go func() { <-produced; u.others.Wait(); u.tidy() }()
	}
	return err
}

// tidyLimit is how long the removal of temporary files may take.
const tidyLimit = 10 * time.Second

// tidy removes what an upload that failed has left.
func (u *upload) tidy() {
	if len(u.pending) == 0 || u.sent == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), tidyLimit)
	defer cancel()
	var lines bytes.Buffer
	for _, name := range u.pending {
		fmt.Fprintf(&lines, "x %s\n", encode(name))
	}
	// The error that counts is the one that the upload has ended with.
	_, _ = execute(ctx, u.client, component.Command{Line: powershell(script(putScript)), Stdin: &lines})
}

func encode(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) }

// token makes temporary names unique.
func token() string {
	b := make([]byte, 8)
	_, _ = rand.Read(b) // never fails
	return hex.EncodeToString(b)
}

// tail keeps the end of what a script prints.
type tail struct{ buf []byte }

// Write takes everything.
func (t *tail) Write(p []byte) (int, error) {
	t.buf = append(t.buf, p...)
	if n := len(t.buf) - 8192; n > 0 {
		t.buf = append(t.buf[:0], t.buf[n:]...)
	}
	return len(p), nil
}

func (t *tail) String() string { return string(t.buf) }
