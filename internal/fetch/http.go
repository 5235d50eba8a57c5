package fetch

import (
	"context"
	"errors"
	"fmt"
	"hash"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/jdx/go-netrc"

	"ingot/internal/component"
	"ingot/internal/retry"
)

// newClient makes a client that uses the proxies of the environment, and the
// passwords of ~/.netrc.
func newClient(env func(string) string) *http.Client {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	// What is downloaded has to be the file itself.
	transport.DisableCompression = true
	return &http.Client{Transport: &passwords{next: transport, env: env}}
}

// passwords adds what the netrc file says about a host.
type passwords struct {
	next http.RoundTripper
	env  func(string) string
}

// CloseIdleConnections is for http.Client.
func (p *passwords) CloseIdleConnections() {
	if c, ok := p.next.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

// RoundTrip is called for redirects too, so that each host gets its own password.
func (p *passwords) RoundTrip(q *http.Request) (*http.Response, error) {
	if q.Header.Get("Authorization") == "" && q.URL.User == nil {
		// What is meant for any host is not sent where another host led to.
		user, password, err := netrcLogin(netrcPath(p.env), q.URL.Hostname(), q.Response == nil)
		if err != nil {
			return nil, retry.As(retry.User, err)
		}
		if user != "" || password != "" {
			q = q.Clone(q.Context())
			q.SetBasicAuth(user, password)
		}
	}
	return p.next.RoundTrip(q)
}

func netrcPath(env func(string) string) string {
	if path := env("NETRC"); path != "" {
		return path
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return ""
	}
	if _, err := os.Stat(filepath.Join(home, "_netrc")); err == nil {
		return filepath.Join(home, "_netrc")
	}
	return filepath.Join(home, ".netrc")
}

// netrcLogin is what the file says about the host; nothing when there is none.
func netrcLogin(path, host string, orDefault bool) (user, password string, err error) {
	if _, err := os.Stat(path); err != nil {
		return "", "", nil
	}
	file, err := netrc.Parse(path)
	if err != nil {
		return "", "", fmt.Errorf("read %s: %w", path, err)
	}
	m := file.Machine(host)
	if m == nil && orDefault {
		m = file.Machine("default")
	}
	if m == nil {
		return "", "", nil
	}
	return m.Get("login"), m.Get("password"), nil
}

// get asks for a source. stop ends the request; it has to be called.
func (f *fetcher) get(ctx context.Context, src source, header http.Header) (res *http.Response, stop func(), err error) {
	return f.ask(ctx, http.MethodGet, src, header)
}

// ask makes a request. It fails for every answer but 2xx, 304 and 416, and, as do
// reads of the body, when nothing arrives for the read time-out.
func (f *fetcher) ask(ctx context.Context, method string, src source, header http.Header) (*http.Response, func(), error) {
	ctx, cancel := context.WithCancelCause(ctx)
	silence := retry.As(retry.Transient, fmt.Errorf("nothing arrived for %s", f.idle))
	watch := time.AfterFunc(f.idle, func() { cancel(silence) })
	stop := func() {
		watch.Stop()
		cancel(nil)
	}
	req, err := f.request(ctx, method, src, header)
	if err != nil {
		stop()
		return nil, nil, err
	}
	res, err := f.http.Do(req)
	if err != nil {
		err = transportError(ctx, err)
		stop()
		return nil, nil, err
	}
	close := func() {
		res.Body.Close()
		stop()
	}
	ok := res.StatusCode/100 == 2 || res.StatusCode == http.StatusNotModified || res.StatusCode == http.StatusRequestedRangeNotSatisfiable
	if !ok {
		err := statusError(res)
		close()
		return nil, nil, err
	}
	res.Body = &watchedBody{res.Body, func() { watch.Reset(f.idle) }, func(err error) error { return transportError(ctx, err) }}
	return res, close, nil
}

// watchedBody puts off the time-out with every read that brings something.
type watchedBody struct {
	io.ReadCloser
	alive func()
	name  func(error) error
}

func (w *watchedBody) Read(p []byte) (int, error) {
	n, err := w.ReadCloser.Read(p)
	if n > 0 {
		w.alive()
	}
	if err != nil && !errors.Is(err, io.EOF) {
		err = w.name(err)
	}
	return n, err
}

// request makes the request for a source of any kind that is reached by HTTP.
func (f *fetcher) request(ctx context.Context, method string, src source, header http.Header) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, method, src.url.String(), nil)
	if err != nil {
		return nil, retry.As(retry.User, reason(err))
	}
	for name, values := range header {
		req.Header[name] = values
	}
	req.Header.Set("User-Agent", "Ingot")
	switch src.kind {
	case s3Object:
		return f.signS3(ctx, req, src)
	case gcsObject:
		return f.signGCS(ctx, req, src)
	}
	return req, nil
}

// transportError names the cause of a failed request, and drops the URL, which may
// hold a password.
func transportError(ctx context.Context, err error) error {
	err = reason(err)
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	if retry.ClassOf(err) != retry.Unclassified {
		return err
	}
	var dns *net.DNSError
	if errors.As(err, &dns) && dns.IsNotFound {
		return retry.As(retry.User, err)
	}
	var op *net.OpError
	if errors.As(err, &op) || errors.As(err, &dns) || errors.Is(err, io.EOF) || strings.Contains(err.Error(), "http2:") {
		return retry.As(retry.Transient, err)
	}
	return err
}

// statusError gives an answer its class.
func statusError(res *http.Response) error {
	err := &StatusError{res.StatusCode, res.Status, res.Header}
	switch code := res.StatusCode; {
	case code == http.StatusTooManyRequests:
		return retry.As(retry.Throttled, err)
	case code >= 500 && code != http.StatusNotImplemented, code == http.StatusRequestTimeout, code == http.StatusTooEarly:
		return retry.As(retry.Transient, err)
	case code == http.StatusUnauthorized, code == http.StatusForbidden:
		return retry.As(retry.Permission, err)
	}
	return retry.As(retry.User, err)
}

// validatorOf is what identifies this version of the file: a strong ETag, else the
// date of its last change.
func validatorOf(h http.Header) string {
	if tag := h.Get("ETag"); tag != "" && !strings.HasPrefix(tag, "W/") {
		return tag
	}
	return h.Get("Last-Modified")
}

// validator asks the server which version it has; empty when it does not say.
func (f *fetcher) validator(ctx context.Context, src source) (string, error) {
	res, stop, err := f.ask(ctx, http.MethodHead, src, nil)
	if err != nil {
		if c := retry.ClassOf(err); c == retry.Transient || c == retry.Throttled || ctx.Err() != nil {
			return "", err
		}
		return "", nil // not every server answers HEAD; what is wrong shows with GET
	}
	defer stop()
	return validatorOf(res.Header), nil
}

// fromWeb downloads to the slot's unfinished file, until it is complete and
// verified.
func (f *fetcher) fromWeb(ctx context.Context, to slot, src source, want checksum, validator string) error {
	size := func() int64 {
		info, err := os.Stat(to.part())
		if err != nil {
			return 0
		}
		return info.Size()
	}
	err := f.repeat(ctx, src, size, func(ctx context.Context) error { return f.attempt(ctx, to, src, want, validator) })
	if errors.As(err, new(*mismatchError)) {
		return errors.Join(err, to.forget())
	}
	return err
}

// attempt goes on with the download, or begins it.
func (f *fetcher) attempt(ctx context.Context, to slot, src source, want checksum, validator string) error {
	file, err := os.OpenFile(to.part(), os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	defer file.Close()
	d := download{fetcher: f, slot: to, src: src, file: file, sum: want.hash()}
	if err := d.resume(ctx, validator); err != nil {
		return err
	}
	res, stop, err := f.get(ctx, src, d.header())
	if err != nil {
		return err
	}
	defer stop()
	if err := d.accept(res); err != nil {
		return err
	}
	if !d.whole {
		if err := d.copy(res); err != nil {
			return err
		}
	}
	if err := want.verify(d.sum); err != nil {
		return err
	}
	if err := file.Sync(); err != nil {
		return err
	}
	return file.Close()
}

// download is one attempt.
type download struct {
	*fetcher
	slot slot
	src  source
	file *os.File
	sum  hash.Hash
	// have is how much has arrived; known is the version that it is of.
	have  int64
	known string
	// whole says that nothing is missing.
	whole bool
}

// resume finds out what is there already and may be used: what came from the same
// URL, in a version that the server can be asked for.
func (d *download) resume(ctx context.Context, validator string) error {
	info, err := d.file.Stat()
	if err != nil {
		return err
	}
	var notes partial
	if info.Size() > 0 && readJSON(d.slot.notes(), &notes) && notes.URL == hashKey(d.src.identity()) && notes.Validator != "" && (validator == "" || validator == notes.Validator) {
		if _, err := io.Copy(d.sum, stoppable{ctx, d.file}); err != nil {
			return err
		}
		d.have, d.known = info.Size(), notes.Validator
		return nil
	}
	return d.restart()
}

// restart throws away what has arrived.
func (d *download) restart() error {
	d.have, d.known = 0, ""
	d.sum.Reset()
	if err := d.file.Truncate(0); err != nil {
		return err
	}
	_, err := d.file.Seek(0, io.SeekStart)
	return err
}

func (d *download) header() http.Header {
	if d.have == 0 {
		return nil
	}
	return http.Header{"Range": {fmt.Sprintf("bytes=%d-", d.have)}, "If-Range": {d.known}}
}

// accept looks at what the server answered: the rest, or, from one that knows no
// ranges or has another version by now, the whole file; or that there is no rest.
func (d *download) accept(res *http.Response) error {
	switch {
	case res.StatusCode == http.StatusPartialContent && d.have > 0:
		from, ok := rangeStart(res.Header.Get("Content-Range"))
		if !ok || from != d.have || validatorOf(res.Header) != "" && validatorOf(res.Header) != d.known {
			err := fmt.Errorf("the server sent a part of the file that was not asked for (%q)", res.Header.Get("Content-Range"))
			return errors.Join(retry.As(retry.Transient, err), d.slot.forget())
		}
		return nil
	case res.StatusCode == http.StatusOK:
		if err := d.restart(); err != nil {
			return err
		}
		d.known = validatorOf(res.Header)
		return writeJSON(d.slot.notes(), partial{hashKey(d.src.identity()), d.known})
	case res.StatusCode == http.StatusRequestedRangeNotSatisfiable && d.have > 0 && res.Header.Get("Content-Range") == fmt.Sprintf("bytes */%d", d.have):
		// The last attempt ended between the last byte and the file's name.
		d.whole = true
		return nil
	case res.StatusCode == http.StatusRequestedRangeNotSatisfiable && d.have > 0:
		err := retry.As(retry.Transient, errors.New("the server has a shorter file than what has arrived before"))
		return errors.Join(err, d.slot.forget())
	}
	return retry.As(retry.User, fmt.Errorf("the server answered %s, which has no file", res.Status))
}

// rangeStart reads "bytes FROM-TO/TOTAL".
func rangeStart(text string) (int64, bool) {
	rest, ok := strings.CutPrefix(text, "bytes ")
	if !ok {
		return 0, false
	}
	from, _, ok := strings.Cut(rest, "-")
	n, err := strconv.ParseInt(from, 10, 64)
	return n, ok && err == nil
}

// copy writes the body behind what is there.
func (d *download) copy(res *http.Response) error {
	total := int64(-1)
	if res.ContentLength >= 0 {
		total = d.have + res.ContentLength
	}
	m := meter{run: d.run, done: d.have, event: component.Progress{ID: d.slot.key, Label: d.src.fileName(), Total: total}}
	defer m.finish()
	n, err := io.Copy(io.MultiWriter(d.file, d.sum, &m), res.Body)
	d.have += n
	if err == nil && total >= 0 && d.have != total {
		err = io.ErrUnexpectedEOF
	}
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return retry.As(retry.Transient, fmt.Errorf("the connection broke off after %d of %d bytes: %w", d.have, total, io.ErrUnexpectedEOF))
	}
	return err
}

// meter tells how far a download has come, a few times a second.
type meter struct {
	run   component.Run
	event component.Progress
	done  int64
	told  time.Time
}

func (m *meter) Write(p []byte) (int, error) {
	m.done += int64(len(p))
	if now := m.run.Clock.Now(); now.Sub(m.told) >= 200*time.Millisecond {
		m.told = now
		m.event.Done = m.done
		m.run.Emit(m.event)
	}
	return len(p), nil
}

func (m *meter) finish() {
	m.event.Done, m.event.Finished = m.done, true
	m.run.Emit(m.event)
}
