package process

import (
	"slices"
	"strings"
	"testing"
)

// TestFirstLine: the first line counts, however it arrives, and nothing else is kept.
func TestFirstLine(t *testing.T) {
	for _, c := range []struct {
		writes []string
		want   string
	}{
		{[]string{"5|0|unix|/x\nmore\n"}, "5|0|unix|/x"},
		{[]string{"5|0|", "unix|/x", "\n", "5|0|tcp|y\n"}, "5|0|unix|/x"},
		{[]string{"\n", "late\n"}, ""},
		{[]string{strings.Repeat("x", maxFirst+1), strings.Repeat("y", 10)}, strings.Repeat("x", maxFirst+1)},
	} {
		f := newFirstLine()
		for _, w := range c.writes {
			if n, err := f.Write([]byte(w)); n != len(w) || err != nil {
				t.Errorf("wrote %d, %v", n, err)
			}
		}
		if got := <-f.line; got != c.want {
			t.Errorf("%.20q: the line is %.20q", c.writes, got)
		}
	}
}

// TestLogs: lines are handed out whole, long ones in pieces, and the last ones are kept.
func TestLogs(t *testing.T) {
	var got []string
	l := &logs{to: func(s string) { got = append(got, s) }}
	for _, w := range []string{"one\ntw", "o \t\r\n\n\nbad \xff\n", strings.Repeat("x", maxLine+5) + "\n", "rest"} {
		if n, err := l.Write([]byte(w)); n != len(w) || err != nil {
			t.Errorf("wrote %d, %v", n, err)
		}
	}
	l.flush()
	want := []string{"one", "two", "bad �", strings.Repeat("x", maxLine), "xxxxx", "rest"}
	if !slices.Equal(got, want) {
		t.Errorf("lines %.60q", got)
	}
	for range 100 {
		_, _ = l.Write([]byte("again\n"))
	}
	_, _ = l.Write([]byte(strings.Repeat("y", 1000)))
	last := l.last()
	if len(last) != keptLines || len(last[keptLines-1]) != 503 {
		t.Errorf("kept are %.200q", last)
	}
}

// TestCleanEnviron: credentials of this process are not a plugin's, unless it is given
// them.
func TestCleanEnviron(t *testing.T) {
	in := []string{"PATH=/bin", "HOME=/h", "AWS_SECRET_ACCESS_KEY=s", "LC_ALL=C", "https_proxy=p", "PACKER_LOG=1", "PACKER_GITHUB_API_TOKEN=t", "PKR_VAR_x=y", "HCLOUD_TOKEN=t"}
	want := []string{"PATH=/bin", "HOME=/h", "LC_ALL=C", "https_proxy=p", "PACKER_LOG=1", "HCLOUD_TOKEN=t"}
	if got := CleanEnviron(in, []string{"HCLOUD_TOKEN"}); !slices.Equal(got, want) {
		t.Errorf("%v", got)
	}
}

// TestEnviron: the variables of the protocol win over those that are there.
func TestEnviron(t *testing.T) {
	env := Options{Environ: []string{"PACKER_PLUGIN_MAGIC_COOKIE=wrong"}, RunID: "id"}.environ()
	for _, want := range []string{"PACKER_PLUGIN_MAGIC_COOKIE=d602bf8f470bc67ca7faa0386276bbdd4330efaf76d1a219cb4d6991ca9872b2", "PACKER_PLUGIN_MIN_PORT=10000", "PACKER_PLUGIN_MAX_PORT=25000", "PACKER_RUN_UUID=id"} {
		if !slices.Contains(env[1:], want) {
			t.Errorf("there is no %s", want)
		}
	}
}
