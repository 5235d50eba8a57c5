package history

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

// Summary is a run in a few words.
type Summary struct {
	Header
	Result      Result
	Took        time.Duration
	Interrupted string
	Builds      []string
	// Failed is how many builds failed; -1 when that is not known.
	Failed int
}

// summaryBytes is how much of each end of a file is read for a summary.
const summaryBytes = 64 << 10

// Summary reads only the two ends of the file, whatever its size.
func (s Store) Summary(run string, alive func(run string) bool) (Summary, error) {
	sum, ended, err := summarise(s.Path(run))
	if err != nil || ended {
		return sum, err
	}
	if alive(run) {
		sum.Result, sum.Took = Running, max(time.Since(sum.Started), 0)
		return sum, nil
	}
	// A run writes its last event before it lets go: what is gone may have ended
	// since the first look.
	sum, _, err = summarise(s.Path(run))
	return sum, err
}

func summarise(path string) (Summary, bool, error) {
	f, err := os.Open(path)
	if err != nil {
		return Summary{}, false, fmt.Errorf("history: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return Summary{}, false, fmt.Errorf("history: %w", err)
	}
	sum := Summary{Result: Killed, Failed: -1}
	r, err := NewReader(io.LimitReader(f, 16*summaryBytes))
	if err != nil {
		return Summary{}, false, fmt.Errorf("history: %s: %w", path, err)
	}
	sum.Header = r.Header()
	sum.Took = max(info.ModTime().Sub(sum.Started), 0)
	sum.Builds = startOf(r)
	last := lastLine(f, info.Size())
	var w wire
	if json.Unmarshal(last, &w) != nil || w.Type != "run_ended" {
		return sum, false, nil
	}
	sum.Took, sum.Failed, sum.Interrupted = millis(w.DurationMS), max(w.Failed, 0), w.Interrupted
	switch {
	case sum.Interrupted != "":
		sum.Result = Interrupted
	case sum.Failed > 0 || sum.Incomplete:
		sum.Result = Failed
	default:
		sum.Result = Succeeded
	}
	return sum, true, nil
}

// startOf are the builds of a run, from its first event.
func startOf(r *Reader) []string {
	for range 2 * heldMost {
		line, err := r.line()
		if err != nil {
			return nil
		}
		var w wire
		if bytes.Contains(line[:min(len(line), 40)], []byte(`"run_started"`)) && json.Unmarshal(line, &w) == nil {
			return w.Builds
		}
	}
	return nil
}

// lastLine is the last whole line of a file, if it is not too long.
func lastLine(f *os.File, size int64) []byte {
	tail := make([]byte, min(size, summaryBytes))
	n, err := f.ReadAt(tail, size-int64(len(tail)))
	if err != nil && !errors.Is(err, io.EOF) {
		return nil
	}
	tail = tail[:n]
	end := bytes.LastIndexByte(tail, '\n')
	if end < 0 {
		return nil
	}
	begin := bytes.LastIndexByte(tail[:end], '\n') + 1
	return tail[begin:end]
}
