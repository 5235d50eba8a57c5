package windowsupdate

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"sync"

	"ingot/internal/component"
)

// The events that update.ps1 tells of, in their order.
const (
	eventBusy        = "busy" // somebody else is installing updates
	eventSearching   = "searching"
	eventWarning     = "warning"
	eventFound       = "found"
	eventChosen      = "chosen" // all that were found have been told
	eventDownloading = "downloading"
	eventDownloaded  = "downloaded"
	eventInstalling  = "installing"
	eventInstalled   = "installed"
	eventEnd         = "end"
	eventFailed      = "failed" // in place of the end
)

// Why an update that was found is left out.
const (
	leftByFilters = "filters"
	leftByLimit   = "limit"
	leftForInput  = "input" // it would ask somebody something
)

// update is one that was found.
type update struct {
	ID    string   `json:"id"`
	Title string   `json:"title"`
	KB    []string `json:"kb"`
	// Size is the largest size of the download, in bytes.
	Size int64  `json:"size"`
	Left string `json:"left"`
}

// message is one line of update.ps1.
type message struct {
	Event string `json:"event"`
	update
	// Index is the number of the update among those that were chosen.
	Index int `json:"index"`
	// Code is a result code of the Windows Update Agent.
	Code    int     `json:"code"`
	Result  hresult `json:"hresult"`
	Reboot  bool    `json:"reboot"`
	Message string  `json:"message"`
	During  string  `json:"during"`
}

// ok reports whether the download or installation has succeeded, if with
// errors: Windows says so of updates that it repairs later.
func (m message) ok() bool { return m.Code == 2 || m.Code == 3 }

// maxLine bounds what a line of the machine may take of our memory.
const maxLine = 1 << 20

// reader takes the messages out of what a script prints. The rest goes to rest.
type reader struct {
	marker string
	rest   *component.LineWriter
	handle func(message, error)

	mu  sync.Mutex
	buf []byte // guarded by mu
}

// Write never fails.
func (r *reader) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.buf = append(r.buf, p...)
	for {
		i := bytes.IndexByte(r.buf, '\n')
		if i < 0 {
			break
		}
		line := string(r.buf[:i+1])
		r.buf = r.buf[i+1:]
		r.line(line)
	}
	if len(r.buf) > maxLine {
		_, _ = r.rest.Write(r.buf) // a LineWriter, which never fails
		r.buf = nil
	}
	return len(p), nil
}

func (r *reader) line(text string) {
	if _, encoded, found := strings.Cut(text, r.marker+" "); found {
		r.handle(decode(encoded))
		return
	}
	_, _ = r.rest.Write([]byte(text)) // as above
}

// flush takes a last line that has no end.
func (r *reader) flush() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.buf) > 0 {
		r.line(string(r.buf))
		r.buf = nil
	}
}

// decode reads what stands behind a marker.
func decode(encoded string) (message, error) {
	raw, err := base64.StdEncoding.DecodeString(strings.TrimSpace(encoded))
	if err != nil {
		return message{}, fmt.Errorf("read the news of the machine: %w", err)
	}
	var m message
	if err := json.Unmarshal(raw, &m); err != nil {
		return message{}, fmt.Errorf("read the news of the machine: %w", err)
	}
	return m, nil
}
