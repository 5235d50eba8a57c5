package qemuimg

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ingot/internal/component"
	"ingot/internal/component/componenttest"
)

func TestProgress(t *testing.T) {
	for _, c := range []struct {
		chunks []string
		want   string
	}{
		{nil, ""},
		{[]string{"    (0.00/100%)\r    (1.00/100%)\r    (1.99/100%)\r    (100.00/100%)\r\n"}, "0 1 100 100."},
		{[]string{"    (3.", "50/100%)", "\r    (2.00/100%)\r"}, "3 3."},
		{[]string{"noise\r(x/100%)\r(NaN/100%)\r(101/100%)\r(-1/100%)\r" + strings.Repeat("z", 1000)}, ""},
	} {
		var got []string
		p := &progress{report: func(percent int64, finished bool) {
			got = append(got, fmt.Sprint(percent)+map[bool]string{true: "."}[finished])
		}}
		for _, chunk := range c.chunks {
			if n, err := p.Write([]byte(chunk)); n != len(chunk) || err != nil {
				t.Fatal(n, err)
			}
		}
		p.end()
		if got := strings.Join(got, " "); got != c.want {
			t.Errorf("%q: %s, want %s", c.chunks, got, c.want)
		}
	}
}

func FuzzProgress(f *testing.F) {
	f.Add([]byte("    (0.00/100%)\r    (1.00/100%)\r"))
	f.Fuzz(func(t *testing.T, data []byte) {
		last := int64(-1)
		p := &progress{report: func(percent int64, finished bool) {
			if percent < 0 || percent > 100 || !finished && percent <= last {
				t.Errorf("%d after %d", percent, last)
			}
			last = percent
		}}
		for len(data) > 0 {
			n := min(7, len(data))
			p.Write(data[:n])
			data = data[n:]
		}
		p.end()
	})
}

func TestParseInfo(t *testing.T) {
	info, err := parseInfo([]byte(`{"virtual-size": 100, "filename": "a", "format": "qcow2", "actual-size": 7, "backing-filename": "b", "full-backing-filename": "/x/b",
		"format-specific": {"type": "qcow2", "data": {"data-file": "d.raw"}}, "dirty-flag": false}`))
	if want := (Info{Format: "qcow2", Size: 100, Allocated: 7, Backing: "/x/b", DataFile: "d.raw"}); err != nil || info != want {
		t.Errorf("%+v, %v", info, err)
	}
	for _, bad := range []string{"", "[]", "{}", `{"format":"raw","virtual-size":-1}`} {
		if _, err := parseInfo([]byte(bad)); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

func FuzzParseInfo(f *testing.F) {
	f.Add([]byte(`{"virtual-size": 100, "format": "qcow2", "actual-size": 7}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if info, err := parseInfo(data); err == nil && (info.Format == "" || info.Size < 0) {
			t.Errorf("%q: %+v", data, info)
		}
	})
}

func tool(t *testing.T) Tool {
	t.Helper()
	found, err := Find()
	if err != nil {
		t.Skip(err)
	}
	return found
}

func TestNotInstalled(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	if _, err := Find(); !errors.Is(err, ErrNotInstalled) {
		t.Errorf("got %v", err)
	}
}

func TestImages(t *testing.T) {
	ctx, img := context.Background(), tool(t)
	r, j, events := componenttest.NewRun(t)
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	info := func(name string) Info {
		t.Helper()
		i, err := img.Info(ctx, r, at(name))
		if err != nil {
			t.Fatal(err)
		}
		return i
	}

	// A raw disk whose name looks like an option of qemu-img.
	content := strings.Repeat("some bytes of the disk\n", 50_000)
	if err := os.WriteFile(at("-base"), []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := img.Resize(ctx, r, at("-base"), "raw", 8<<20); err != nil {
		t.Fatal(err)
	}
	if got := info("-base"); got.Format != "raw" || got.Size != 8<<20 {
		t.Errorf("resized: %+v", got)
	}
	base := Backing{at("-base"), "raw"}
	if err := img.Create(ctx, r, Creation{Path: at("over.qcow2"), Format: "qcow2", Size: 16 << 20, Backing: base, Args: []string{"-o", "cluster_size=128k"}}); err != nil {
		t.Fatal(err)
	}
	if got := info("over.qcow2"); got.Format != "qcow2" || got.Size != 16<<20 || got.Backing != at("-base") {
		t.Errorf("overlay: %+v", got)
	}
	for _, c := range []Conversion{
		{ToFormat: "qcow2", Label: "copy"},
		{ToFormat: "qcow2", Compress: true},
		{ToFormat: "raw"},
		{ToFormat: "qcow2", Backing: base},
	} {
		c.From, c.FromFormat, c.To, c.Size = at("over.qcow2"), "qcow2", at("copy"), 1234
		if err := img.Convert(ctx, r, c); err != nil {
			t.Fatal(err)
		}
		if got := info("copy"); got.Format != c.ToFormat || got.Size != 16<<20 || got.Backing != c.Backing.Image {
			t.Errorf("%+v made %+v", c, got)
		}
	}
	finished := 0
	for _, e := range events.All() {
		if p, ok := e.(component.Progress); ok && p.Finished && p.Done == 1200 && p.Total == 1200 {
			finished++
		}
	}
	if finished != 4 {
		t.Errorf("%d conversions told of their end, want 4", finished)
	}
	if open := j.Open(); len(open) > 0 {
		t.Errorf("still held: %v", open)
	}
}

func TestErrorsAreThoseOfTheProgram(t *testing.T) {
	ctx, img := context.Background(), tool(t)
	r, j, _ := componenttest.NewRun(t)
	none := filepath.Join(t.TempDir(), "none")
	for what, err := range map[string]error{
		"info":    func() error { _, err := img.Info(ctx, r, none); return err }(),
		"resize":  img.Resize(ctx, r, none, "raw", 1<<20),
		"convert": img.Convert(ctx, r, Conversion{From: none, FromFormat: "raw", To: none + "2", ToFormat: "raw"}),
	} {
		if err == nil || !strings.Contains(err.Error(), "No such file or directory") || !strings.Contains(err.Error(), none) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := img.Create(ctx, r, Creation{Path: none, Format: "floppy", Size: 1}); err == nil || !strings.Contains(err.Error(), "floppy") {
		t.Errorf("create: %v", err)
	}
	if open := j.Open(); len(open) > 0 {
		t.Errorf("still held: %v", open)
	}
}

func TestCancel(t *testing.T) {
	img := tool(t)
	r, j, _ := componenttest.NewRun(t)
	stop := errors.New("enough")
	ctx, cancel := context.WithCancelCause(context.Background())
	// The first report of progress ends the copy.
	r.Events = component.SinkFunc(func(e component.Event) {
		if _, ok := e.(component.Progress); ok {
			cancel(stop)
		}
	})
	from := filepath.Join(t.TempDir(), "from")
	if err := os.WriteFile(from, bytes.Repeat([]byte("x"), 32<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	// At this rate the copy takes half a minute.
	err := img.Convert(ctx, r, Conversion{From: from, FromFormat: "raw", To: from + "2", ToFormat: "raw", Args: []string{"-r", "1M"}})
	if !errors.Is(err, stop) {
		t.Errorf("got %v", err)
	}
	if open := j.Open(); len(open) > 0 {
		t.Errorf("still held: %v", open)
	}
}
