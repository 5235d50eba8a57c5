package ui

import (
	"bytes"
	"encoding/json"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"ingot/internal/component"
	"ingot/internal/diag"
	"ingot/internal/retry"
)

// JSONVersion is the version of the JSON event stream, in its first line. It
// grows when a field is removed or changes its meaning, not when one is
// added. docs/events.md describes the stream.
const JSONVersion = 1

// JSON prints every event as one JSON object per line.
type JSON struct {
	box    outbox
	opened bool // guarded by the outbox's lock, as is line
	line   object
}

// NewJSON makes a JSON that writes to out.
func NewJSON(out io.Writer) *JSON {
	j := &JSON{}
	j.box.init(out, out)
	return j
}

// Handle prints the event.
func (j *JSON) Handle(s component.Stamped) { j.Add(s) }

// Add prints the event and returns how many bytes that takes; they may be written
// later.
func (j *JSON) Add(s component.Stamped) int {
	_, bulky := s.Event.(component.Output)
	j.box.lock(bulky)
	defer j.box.unlock()
	b := &j.box.pending
	before := len(b.buf)
	j.open(s.At)
	b.buf = append(appendJSON(&j.line, b.buf, &s), '\n')
	b.mark(false)
	return len(b.buf) - before
}

// Diagnostics prints findings about a template as events of type
// "diagnostic".
func (j *JSON) Diagnostics(l diag.List) {
	j.box.lock(false)
	defer j.box.unlock()
	now := time.Now()
	j.open(now)
	b := &j.box.pending
	for _, d := range l {
		b.buf = append(appendDiagnostic(b.buf, now, d), '\n')
	}
	b.mark(false)
}

// open prints the first line, which names the version.
func (j *JSON) open(at time.Time) {
	if j.opened {
		return
	}
	j.opened = true
	b := &j.box.pending
	o := object{buf: b.buf}
	o.begin("stream_started", at)
	o.int("version", JSONVersion)
	o.str("program", "ingot")
	b.buf = append(o.end(), '\n')
	b.mark(false)
}

// Pause writes what is pending; later output is not held back.
func (j *JSON) Pause() func() {
	j.box.flush()
	return func() {}
}

// Close writes what is left. A stream without events still has its first
// line.
func (j *JSON) Close() error {
	j.box.lock(false)
	if !j.box.closed {
		j.open(time.Now())
	}
	j.box.unlock()
	return j.box.close()
}

func appendJSON(o *object, dst []byte, s *component.Stamped) []byte {
	o.buf = dst
	o.begin(typeOf(s.Event), s.At)
	o.ms("ms", s.Since)
	o.origin(&s.Origin)
	writeFields(o, s)
	return o.end()
}

func appendDiagnostic(dst []byte, at time.Time, d *diag.Diagnostic) []byte {
	o := object{buf: dst}
	o.begin("diagnostic", at)
	o.str("severity", strings.ToLower(d.Severity.String()))
	o.str("summary", d.Summary)
	o.opt("detail", d.Detail)
	if d.Subject != nil {
		o.str("file", d.Subject.Filename)
		o.int("line", int64(d.Subject.Start.Line))
		o.int("column", int64(d.Subject.Start.Column))
	}
	return o.end()
}

// object appends the fields of one JSON object. Writing it by hand keeps the
// order of fields and costs no allocation per line of output.
type object struct {
	buf []byte
	// Of the line before, since that is often of the same origin and time.
	lastOrigin component.Origin
	lastIDs    []byte
	lastMilli  int64
	lastTime   []byte
}

func (o *object) begin(typ string, at time.Time) {
	o.buf = append(o.buf, '{')
	o.str("type", typ)
	o.key("time")
	if ms := at.UnixMilli(); ms != o.lastMilli || o.lastTime == nil {
		o.lastMilli = ms
		o.lastTime = at.UTC().AppendFormat(o.lastTime[:0], `"2006-01-02T15:04:05.000Z07:00"`)
	}
	o.buf = append(o.buf, o.lastTime...)
}

func (o *object) origin(from *component.Origin) {
	if from.Build.IsZero() && from.Step.IsZero() {
		return
	}
	if o.lastIDs == nil || o.lastOrigin != *from {
		ids := object{buf: append(o.lastIDs[:0], ',')}
		if !from.Build.IsZero() {
			ids.str("build", from.Build.String())
		}
		if !from.Step.IsZero() {
			ids.str("step", from.Step.String())
		}
		o.lastOrigin, o.lastIDs = *from, ids.buf
	}
	o.buf = append(o.buf, o.lastIDs...)
}

func (o *object) end() []byte { return append(o.buf, '}') }

func (o *object) key(name string) {
	if last := o.buf[len(o.buf)-1]; last != '{' && last != ',' {
		o.buf = append(o.buf, ',')
	}
	o.buf = append(o.buf, '"')
	o.buf = append(o.buf, name...)
	o.buf = append(o.buf, '"', ':')
}

func (o *object) str(name, value string) {
	o.key(name)
	o.buf = appendJSONString(o.buf, value)
}

// opt leaves an empty text out.
func (o *object) opt(name, value string) {
	if value != "" {
		o.str(name, value)
	}
}

func (o *object) int(name string, v int64) {
	o.key(name)
	o.buf = strconv.AppendInt(o.buf, v, 10)
}

func (o *object) ms(name string, d time.Duration) { o.int(name, d.Milliseconds()) }

func (o *object) bool(name string, v bool) {
	o.key(name)
	if v {
		o.buf = append(o.buf, "true"...)
		return
	}
	o.buf = append(o.buf, "false"...)
}

// err adds nothing when there is no error.
func (o *object) err(err error) {
	if err == nil {
		return
	}
	o.str("error", err.Error())
	o.str("error_class", retry.ClassOf(err).String())
}

// any adds plain data of this package's own types, which always encode.
func (o *object) any(name string, v any) {
	o.key(name)
	var text bytes.Buffer
	enc := json.NewEncoder(&text)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		o.buf = append(o.buf, "null"...)
		return
	}
	o.buf = append(o.buf, bytes.TrimRight(text.Bytes(), "\n")...)
}

const hexDigits = "0123456789abcdef"

// appendJSONString quotes s. Bytes that are not UTF-8 become U+FFFD.
func appendJSONString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	from := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= 0x20 && c < utf8.RuneSelf && c != '"' && c != '\\' {
			i++
			continue
		}
		size := 1
		if c >= utf8.RuneSelf {
			var r rune
			if r, size = utf8.DecodeRuneInString(s[i:]); r != utf8.RuneError || size > 1 {
				if r != '\u2028' && r != '\u2029' {
					i += size
					continue
				}
			}
		}
		dst = append(dst, s[from:i]...)
		dst = appendEscape(dst, s[i:i+size])
		i += size
		from = i
	}
	dst = append(dst, s[from:]...)
	return append(dst, '"')
}

func appendEscape(dst []byte, s string) []byte {
	switch c := s[0]; {
	case len(s) > 1:
		// Line separators are legal in JSON, but readers that split lines
		// the Unicode way would trip over them.
		r, _ := utf8.DecodeRuneInString(s)
		return append(dst, '\\', 'u', '2', '0', '2', hexDigits[r&0xf])
	case c >= utf8.RuneSelf:
		return append(dst, "\ufffd"...)
	case c == '"' || c == '\\':
		return append(dst, '\\', c)
	case c == '\n':
		return append(dst, '\\', 'n')
	case c == '\r':
		return append(dst, '\\', 'r')
	case c == '\t':
		return append(dst, '\\', 't')
	default:
		return append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&0xf])
	}
}
