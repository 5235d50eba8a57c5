package fileserver

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/http"
	"os"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"ingot/internal/component"
	"ingot/internal/diag"
)

// handler serves what c asks for, and tells of every request.
func (s *Server) handler(c Config) (h http.Handler, closeFiles func(), err error) {
	if len(c.HTTPContent) > 0 {
		return s.told(contentHandler(c.HTTPContent)), func() {}, nil
	}
	root, err := os.OpenRoot(c.HTTPDirectory)
	if errors.Is(err, fs.ErrNotExist) {
		s.run.Emit(component.Warning{Summary: "Folder not found", Detail: "http_directory " + c.HTTPDirectory + " is not there; the HTTP server serves nothing."})
		return s.told(http.NotFoundHandler()), func() {}, nil
	}
	if err != nil {
		return nil, nil, fmt.Errorf("http_directory: %w", err)
	}
	return s.told(http.FileServerFS(inside{root.FS()})), func() { _ = root.Close() }, nil
}

// inside is a folder whose links that lead out of it may not be followed.
type inside struct{ fs.FS }

func (i inside) Open(name string) (fs.File, error) {
	f, err := i.FS.Open(name)
	// What the system says about a way out of the folder has no name.
	if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrInvalid) {
		err = &fs.PathError{Op: "open", Path: name, Err: fs.ErrPermission}
	}
	return f, err
}

// contentHandler serves texts by path.
func contentHandler(content map[string]string) http.Handler {
	texts := map[string]string{}
	for key, text := range content {
		texts[path.Clean(key)] = text
	}
	names := slices.Sorted(maps.Keys(texts))
	return http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if q.Method != http.MethodGet && q.Method != http.MethodHead {
			http.Error(w, "only GET and HEAD are possible", http.StatusMethodNotAllowed)
			return
		}
		name := path.Clean("/" + q.URL.Path)
		text, ok := texts[name]
		if !ok {
			http.Error(w, name+" is not in http_content."+diag.Suggest(name, "paths", names), http.StatusNotFound)
			return
		}
		http.ServeContent(w, q, name, time.Time{}, strings.NewReader(text))
	})
}

// told reports requests: all to the log, and those that failed, each path once,
// to the user, since an installer rarely says why it stops.
func (s *Server) told(next http.Handler) http.Handler {
	var mu sync.Mutex
	failed := map[string]bool{}
	return http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		seen := &watched{ResponseWriter: w, status: http.StatusOK}
		next.ServeHTTP(seen, q)
		client := q.RemoteAddr
		s.run.Emit(component.Trace{Text: fmt.Sprintf("HTTP server: %s %s %s: %d, %d bytes", client, q.Method, q.URL.RequestURI(), seen.status, seen.bytes)})
		if seen.status < 400 {
			return
		}
		mu.Lock()
		first := !failed[q.URL.Path] && len(failed) < 50
		failed[q.URL.Path] = failed[q.URL.Path] || first
		mu.Unlock()
		if first {
			s.run.Say(fmt.Sprintf("The machine asked the HTTP server for %q: %d %s", q.URL.Path, seen.status, http.StatusText(seen.status)))
		}
	})
}

// watched remembers what was answered.
type watched struct {
	http.ResponseWriter
	status int
	bytes  int64
}

func (w *watched) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

func (w *watched) Write(p []byte) (int, error) {
	n, err := w.ResponseWriter.Write(p)
	w.bytes += int64(n)
	return n, err
}

// Unwrap is for http.ResponseController.
func (w *watched) Unwrap() http.ResponseWriter { return w.ResponseWriter }
