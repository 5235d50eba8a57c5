package qemu

import (
	"slices"
	"strings"
	"testing"
)

func TestPlain(t *testing.T) {
	for text, want := range map[string]string{
		"one\r\ntwo":                       "one\ntwo",
		"10%\r20%\r100%\n":                 "100%\n",
		"abc\rX":                           "Xbc",
		"\x1b[2J\x1b[1;31mred\x1b[0m!":     "red!",
		"\x1b]0;title\x07a\x1b]0;t\x1b\\b": "ab",
		"\x1b(Ba\x1b=b\x1bMc":              "abc",
		"ab\bc":                            "ac",
		"\b\ba":                            "a",
		"a\x00\x07b\x7f":                   "ab",
		"tab\there":                        "tab\there",
		"é\xffx":                           "é\ufffdx",
		"broken \x1b[12\nline":             "broken \nline",
		"cut \x1b[12":                      "cut ",
		"cut \x1b":                         "cut ",
		"cut \x1b]0;title\nline":           "cut \nline",
		"":                                 "",
	} {
		if got := plain([]byte(text)); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}

func TestConsoleKeepsTheEnd(t *testing.T) {
	c := newConsole()
	_, _, more := c.since(0)
	for range 100 {
		c.append([]byte(strings.Repeat("x", 9999) + "\n"))
	}
	c.append([]byte("\r\nlast\r\n  \r\nlines\x1b[K\r\n"))
	select {
	case <-more:
	default:
		t.Error("the change was not told")
	}
	data, total, _ := c.since(0)
	if len(data) > maxConsole || len(data) < maxConsole/4 || total != 100*10000+int64(len("\r\nlast\r\n  \r\nlines\x1b[K\r\n")) {
		t.Errorf("%d bytes are kept of %d", len(data), total)
	}
	if got := c.lastLines(2); !slices.Equal(got, []string{"last", "lines"}) {
		t.Errorf("last lines %q", got)
	}
	if got, _, _ := c.since(total - 3); string(got) != "K\r\n" {
		t.Errorf("since the end: %q", got)
	}
	if got, _, _ := c.since(total + 3); len(got) != 0 {
		t.Errorf("after the end: %q", got)
	}
	if got := newConsole().lastLines(3); len(got) != 0 {
		t.Errorf("nothing printed: %q", got)
	}
}

func TestWithoutControls(t *testing.T) {
	data := []byte("\x1b[1mlogin\x1b[0m:\r\n")
	text, ends := withoutControls(data)
	if string(text) != "login:\n" || len(ends) != len(text)+1 {
		t.Fatalf("got %q, %d ends", text, len(ends))
	}
	if rest := data[ends[len("login")]:]; string(rest) != "\x1b[0m:\r\n" {
		t.Errorf("after login there is %q", rest)
	}
}

func TestScreenText(t *testing.T) {
	data := make([]byte, 2*textColumns*textRows)
	put := func(x, y int, s string) {
		for i := range len(s) {
			data[2*(y*textColumns+x+i)] = s[i]
			data[2*(y*textColumns+x+i)+1] = 7
		}
	}
	put(0, 1, "boot:")
	put(3, 2, "\xb0x\x00y")
	if got := screenText(data); got != "boot:\n    x y" {
		t.Errorf("got %q", got)
	}
	if got := screenText(data[:100]); got != "" {
		t.Errorf("got %q of half a line", got)
	}
}

// FuzzConsole gives anything to those who read what a machine prints.
func FuzzConsole(f *testing.F) {
	for _, s := range []string{"a\x1b[1mb\r\nc\rd", "\x1b]0;x\x1b\\", "\x1b[", "é\b\b\x1bPq\x1b\\"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if got := plain(data); strings.ContainsAny(got, "\x1b\r\x00") {
			t.Errorf("%q became %q", data, got)
		}
		text, ends := withoutControls(data)
		if len(ends) != len(text)+1 || !slices.IsSorted(ends) || ends[len(text)] > len(data) || strings.ContainsRune(string(text), '\x1b') {
			t.Errorf("%q became %q with the ends %v", data, text, ends)
		}
		screenText(data)
	})
}
