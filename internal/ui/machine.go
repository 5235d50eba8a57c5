package ui

import (
	"io"
	"strconv"
	"strings"
	"time"

	"ingot/internal/component"
)

// Machine prints Packer's machine-readable records, one a line:
//
//	SECONDS,TARGET,TYPE,DATA...
//
// What people read comes as records of type "ui". Unlike Packer's they carry
// the build as target, so that a program need not take the text apart.
type Machine struct {
	box   outbox
	story narrator
	at    time.Time
	say   func(note)
}

// NewMachine makes a Machine. All records, those about errors included, go to
// out.
func NewMachine(out io.Writer) *Machine {
	m := &Machine{}
	m.box.init(out, out)
	m.say = m.note
	return m
}

// Handle prints what there is to say about the event.
func (m *Machine) Handle(s component.Stamped) {
	_, bulky := s.Event.(component.Output)
	m.box.lock(bulky)
	defer m.box.unlock()
	m.at = s.At
	m.story.narrate(&s, m.say)
}

// Record prints one record, for commands that have more to tell than events
// do.
func (m *Machine) Record(target, typ string, data ...string) {
	m.box.lock(false)
	defer m.box.unlock()
	m.at = time.Now()
	m.record(target, typ, data...)
}

// note is called with the outbox locked, as is all below.
func (m *Machine) note(n note) {
	target := ""
	if !n.build.IsZero() {
		target = n.build.String()
	}
	if n.result != nil {
		m.result(target, n.result)
	}
	level := "say"
	if n.tone == redTone {
		level = "error"
	}
	var lines []string
	n.eachLine(func(prefix, line string) { lines = append(lines, prefix+line) })
	m.record(target, "ui", level, strings.Join(lines, "\n"))
}

func (m *Machine) result(target string, r *result) {
	switch {
	case r.failed > 0:
		m.record("", "error-count", strconv.Itoa(r.failed))
	case r.err != nil:
		m.record(target, "error", r.err.Error())
	case r.listed:
		m.artifact(target, r)
	}
}

// artifact prints the records of an artifact. That of a failed build is kept
// apart: whoever reads "artifact" means the result of a build that worked.
func (m *Machine) artifact(target string, r *result) {
	typ := "artifact"
	if r.kept {
		typ = "kept-artifact"
	}
	if r.index == 0 {
		m.record(target, typ+"-count", strconv.Itoa(r.count))
	}
	index, a := strconv.Itoa(r.index), r.artifact
	if a == nil {
		m.record(target, typ, index, "nil")
		m.record(target, typ, index, "end")
		return
	}
	m.record(target, typ, index, "builder-id", a.Producer)
	m.record(target, typ, index, "id", a.ID)
	m.record(target, typ, index, "string", a.Summary)
	m.record(target, typ, index, "files-count", strconv.Itoa(len(a.Files)))
	for i, f := range a.Files {
		m.record(target, typ, index, "file", strconv.Itoa(i), f.Path)
	}
	m.record(target, typ, index, "end")
}

var machineEscapes = strings.NewReplacer(",", "%!(PACKER_COMMA)", "\r", `\r`, "\n", `\n`)

func (m *Machine) record(target, typ string, data ...string) {
	b := &m.box.pending
	b.buf = strconv.AppendInt(b.buf, m.at.Unix(), 10)
	b.buf = append(b.buf, ',')
	b.buf = append(b.buf, machineEscapes.Replace(target)...)
	b.buf = append(b.buf, ',')
	b.buf = append(b.buf, typ...)
	for _, d := range data {
		b.buf = append(b.buf, ',')
		b.buf = append(b.buf, machineEscapes.Replace(d)...)
	}
	b.buf = append(b.buf, '\n')
	b.mark(false)
}

// Pause writes what is pending; later output is not held back.
func (m *Machine) Pause() func() {
	m.box.flush()
	return func() {}
}

// Close writes what is left.
func (m *Machine) Close() error { return m.box.close() }
