package ui

import (
	"io"
	"strconv"
	"time"

	"ingot/internal/component"
)

// PlainOptions choose how a Plain prints.
type PlainOptions struct {
	// Color wraps every line in its build's colour.
	Color bool
	// Header prints "NAME: output will be in this color." for each build at
	// the start. Packer leaves it out with -color=false only, and prints it
	// even where PACKER_NO_COLOR takes the colours away.
	Header bool
	// Timestamps starts every line with the time (RFC 3339) and ": ".
	Timestamps bool
}

// Plain prints lines in the shape of Packer's own output, for pipes, files
// and simple terminals. What failed goes to the error stream, everything
// else, what guests write to their standard error included, to the other.
type Plain struct {
	opts  PlainOptions
	box   outbox
	story narrator
	at    time.Time
	stamp stampCache
	say   func(note)
}

// NewPlain makes a Plain. out and errOut may be the same or lead to the same
// place: lines are whole and in order either way.
func NewPlain(out, errOut io.Writer, opts PlainOptions) *Plain {
	p := &Plain{opts: opts, story: narrator{header: opts.Header}}
	p.box.init(out, errOut)
	p.say = p.print
	return p
}

// Handle prints the event.
func (p *Plain) Handle(s component.Stamped) {
	_, bulky := s.Event.(component.Output)
	p.box.lock(bulky)
	defer p.box.unlock()
	p.at = s.At
	p.story.narrate(&s, p.say)
}

// print is called with the outbox locked.
func (p *Plain) print(n note) {
	b := &p.box.pending
	n.eachLine(func(prefix, line string) {
		if p.opts.Timestamps {
			b.buf = p.stamp.append(b.buf, p.at)
		}
		b.buf = appendLine(b.buf, prefix, line, n.tone, p.opts.Color)
		b.buf = append(b.buf, '\n')
	})
	b.mark(n.fault)
}

func appendLine(dst []byte, prefix, line string, t tone, colour bool) []byte {
	colour = colour && t != noTone && len(prefix)+len(line) > 0
	if colour {
		dst = append(dst, "\x1b[1;"...)
		dst = strconv.AppendUint(dst, uint64(t), 10)
		dst = append(dst, 'm')
	}
	dst = append(dst, prefix...)
	dst = appendClean(dst, line, true)
	if colour {
		dst = append(dst, "\x1b[0m"...)
	}
	return dst
}

// stampCache formats a time once per second.
type stampCache struct {
	second int64
	text   []byte
}

func (c *stampCache) append(dst []byte, at time.Time) []byte {
	if u := at.Unix(); u != c.second || c.text == nil {
		c.second = u
		c.text = append(at.AppendFormat(c.text[:0], time.RFC3339), ": "...)
	}
	return append(dst, c.text...)
}

// Pause writes what is pending. Output that comes later is not held back:
// on a pipe nothing can be in the way of a question.
func (p *Plain) Pause() func() {
	p.box.flush()
	return func() {}
}

// Close writes what is left.
func (p *Plain) Close() error { return p.box.close() }
