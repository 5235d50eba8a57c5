package ui

import (
	"io"
	"strings"
	"sync"
	"sync/atomic"

	"ingot/internal/diag"
)

// Redactor takes secrets out of whatever is printed and puts "<sensitive>" in
// their place. It is safe for concurrent use; a secret that was added is
// masked in everything handled after Add has returned.
//
// A secret is found raw, each of its lines alone, in the quotes of Go, JSON,
// HCL, shells, PowerShell, XML and HTML, percent-encoded, in base64 (standard
// and URL alphabet, at any offset inside a longer text, wrapped at 64 or 76
// columns, and of its UTF-16 form), and in hexadecimal. Matches that overlap
// are masked as one.
//
// A secret of fewer than 3 characters, and the words true, false, null, yes,
// no, on and off, are masked only where they are the whole field or line:
// elsewhere masking them would garble all output and protect nothing. Base64
// and hexadecimal pieces are looked for from 5 bytes on, and of a secret above
// 64 KiB only the raw form and its lines. Names from the template (of builds
// and steps) are not masked.
type Redactor struct {
	mu    sync.Mutex
	forms forms           // guarded by mu
	seen  map[string]bool // guarded by mu
	stale atomic.Bool
	now   atomic.Pointer[compiled]
}

type compiled struct {
	*matcher
	broken [][]string
}

// NewRedactor makes a Redactor without secrets. The zero value works too.
func NewRedactor() *Redactor { return &Redactor{} }

// Add makes secret, which may have several lines, a secret from now on.
func (r *Redactor) Add(secret string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.seen == nil {
		r.seen = map[string]bool{}
		r.forms = forms{patterns: map[string]bool{}, whole: map[string]bool{}}
	}
	if r.seen[secret] {
		return
	}
	r.seen[secret] = true
	r.forms.add(secret)
	r.stale.Store(true)
}

// current returns what to look for, nil when there is nothing.
func (r *Redactor) current() *compiled {
	if !r.stale.Load() {
		return r.now.Load()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stale.Load() {
		whole := make(map[string]bool, len(r.forms.whole))
		for w := range r.forms.whole {
			whole[w] = true
		}
		r.now.Store(&compiled{
			matcher: newMatcher(r.forms.patterns, whole),
			broken:  append([][]string(nil), r.forms.broken...),
		})
		r.stale.Store(false)
	}
	return r.now.Load()
}

// Redact returns text without the secrets.
func (r *Redactor) Redact(text string) string {
	if c := r.current(); c != nil {
		return c.redact(text)
	}
	return text
}

// Writer returns a writer that masks what passes through it, also where a
// secret is spread over several writes. What may be the beginning of a secret
// is held back until more is written or Close is called. Close does not close
// w. The writer is safe for concurrent use.
func (r *Redactor) Writer(w io.Writer) io.WriteCloser {
	return &redactingWriter{secrets: r, next: w}
}

// heldMost is how much text a redacting writer holds back at most.
const heldMost = 1 << 20

type redactingWriter struct {
	secrets *Redactor
	next    io.Writer
	mu      sync.Mutex
	held    string // guarded by mu
}

func (w *redactingWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	c := w.secrets.current()
	if c == nil {
		return w.next.Write(p)
	}
	text := w.held + string(p)
	n := c.settled(text)
	if len(text)-n > heldMost {
		n = len(text)
	}
	w.held = strings.Clone(text[n:])
	if n == 0 {
		return len(p), nil
	}
	if _, err := io.WriteString(w.next, replace(text[:n], c.find(text[:n]))); err != nil {
		return 0, err
	}
	return len(p), nil
}

// Close writes what was held back.
func (w *redactingWriter) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.held == "" {
		return nil
	}
	text := w.held
	w.held = ""
	if c := w.secrets.current(); c != nil {
		text = replace(text, c.find(text))
	}
	_, err := io.WriteString(w.next, text)
	return err
}

// Diagnostics returns l without the secrets in its texts. Places in files
// stay as they are; l is not changed.
func (r *Redactor) Diagnostics(l diag.List) diag.List {
	c := r.current()
	if c == nil {
		return l
	}
	out := make(diag.List, len(l))
	for i, d := range l {
		clean := *d
		clean.Summary, clean.Detail = c.text(d.Summary), c.text(d.Detail)
		clean.Values = nil
		for _, v := range d.Values {
			clean.Values = append(clean.Values, diag.Value{Name: v.Name, Text: c.redact(v.Text)})
		}
		out[i] = &clean
	}
	return out
}
