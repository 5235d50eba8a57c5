package qemuimg

import (
	"bytes"
	"strconv"
)

// progress reads "(12.34/100%)", which qemu-img prints again and again, and
// reports every whole percent once.
type progress struct {
	report func(percent int64, finished bool)
	line   []byte
	last   int64
	began  bool
}

// maxLine is more than a report is long; what is longer is something else.
const maxLine = 256

// Write implements io.Writer; it never fails.
func (p *progress) Write(data []byte) (int, error) {
	n := len(data)
	for {
		i := bytes.IndexAny(data, "\r\n")
		if i < 0 {
			break
		}
		p.read(append(p.line, data[:i]...))
		p.line, data = p.line[:0], data[i+1:]
	}
	p.line = append(p.line, data...)
	if len(p.line) > maxLine {
		p.line = p.line[:0]
	}
	return n, nil
}

func (p *progress) read(line []byte) {
	_, rest, ok := bytes.Cut(line, []byte("("))
	if !ok {
		return
	}
	number, _, ok := bytes.Cut(rest, []byte("/100%)"))
	if !ok {
		return
	}
	f, err := strconv.ParseFloat(string(bytes.TrimSpace(number)), 64)
	if err != nil || !(f >= 0 && f <= 100) {
		return
	}
	if percent := int64(f); !p.began || percent > p.last {
		p.began, p.last = true, percent
		p.report(percent, false)
	}
}

// end says that no more comes.
func (p *progress) end() {
	if p.began {
		p.report(p.last, true)
	}
}
