package sandbox

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"ingot/internal/builder/oci/layers"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == Arg {
		os.Exit(Main(os.Args[2:]))
	}
	os.Exit(m.Run())
}

func start(t testing.TB) (*Sandbox, string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root; builds without it are tested with the builder")
	}
	state := t.TempDir()
	for _, d := range []string{"l", "m"} {
		if err := os.Mkdir(filepath.Join(state, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	s, err := Start(t.Context(), Config{IDs: CurrentIDMap(), Token: "test", State: state})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s, state
}

// TestHostCommand: a command of the host runs inside the namespaces.
func TestHostCommand(t *testing.T) {
	s, _ := start(t)
	var out bytes.Buffer
	code, signal, err := s.Exec(t.Context(), Command{
		Args: []string{"/bin/sh", "-c", `echo "$A $$"; echo error >&2; mount -t tmpfs none /mnt && kill -9 $$`},
		Env:  []string{"A=b", "PATH=" + os.Getenv("PATH")}, Host: true, Stdout: &out, Stderr: &out,
	})
	if err != nil || code != 137 || signal != "KILL" {
		t.Errorf("code %d, signal %q, %v\n%s", code, signal, err, out.String())
	}
	if !strings.HasPrefix(out.String(), "b ") || !strings.HasSuffix(out.String(), "error\n") {
		t.Errorf("output: %q", out.String())
	}
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil || strings.Contains(string(mounts), " /mnt tmpfs") {
		t.Errorf("the mount is visible outside: %v", err)
	}
}

func TestNotAttached(t *testing.T) {
	s, _ := start(t)
	ctx := t.Context()
	_, _, err := s.Exec(ctx, Command{Args: []string{"/bin/true"}})
	for name, err := range map[string]error{
		"Exec": err, "Put": s.Put(ctx, "/x", strings.NewReader("x"), 0o644, 0), "Get": s.Get(ctx, "/x", io.Discard),
		"GetTree": s.GetTree(ctx, "/", io.Discard), "PutTree": s.PutTree(ctx, "/", strings.NewReader("")),
	} {
		if err == nil || !strings.Contains(err.Error(), "no file system is attached") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if strays, changed, err := s.Detach(ctx); err != nil || changed || len(strays) > 0 {
		t.Errorf("detach: %v, %v, %v", strays, changed, err)
	}
}

func TestUnpackChecksItsInput(t *testing.T) {
	s, state := start(t)
	broken := errors.New("broken source")
	if _, err := s.Unpack(t.Context(), state, nil, t.TempDir(), io.MultiReader(strings.NewReader(strings.Repeat("\x00", 512)), failing{broken})); !errors.Is(err, broken) {
		t.Errorf("a source that fails: %v", err)
	}
	if _, err := s.Unpack(t.Context(), state, nil, t.TempDir(), strings.NewReader(strings.Repeat("x", 2000))); err == nil {
		t.Error("no archive at all was unpacked")
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

func TestTooLong(t *testing.T) {
	s, _ := start(t)
	_, _, err := s.Exec(t.Context(), Command{Args: []string{"/bin/sh", "-c", strings.Repeat("x", maxMessage+1)}})
	if err == nil || !strings.Contains(err.Error(), "must stay below") {
		t.Errorf("got %v", err)
	}
}

func TestMainIsInternal(t *testing.T) {
	for _, args := range [][]string{nil, {"run"}, {"x", "y"}, {"run", "hostnet"}} {
		if code := Main(args); code != 1 {
			t.Errorf("Main(%q) = %d", args, code)
		}
	}
}

func TestRefusals(t *testing.T) {
	for name, c := range map[string]struct {
		err      error
		userNS   bool
		settings map[string]string
		want     string
	}{
		"debian":       {unix.EPERM, true, map[string]string{"kernel.unprivileged_userns_clone": "0"}, "kernel.unprivileged_userns_clone=1"},
		"ubuntu":       {unix.EACCES, true, map[string]string{"kernel.apparmor_restrict_unprivileged_userns": "1"}, "kernel.apparmor_restrict_unprivileged_userns=0"},
		"none left":    {unix.ENOSPC, true, map[string]string{"user.max_user_namespaces": "5"}, "user.max_user_namespaces=10000"},
		"switched off": {unix.ENOSPC, true, map[string]string{"user.max_user_namespaces": "0"}, "user.max_user_namespaces=10000"},
		"mounts":       {unix.ENOSPC, false, map[string]string{"user.max_mnt_namespaces": "0"}, "user.max_mnt_namespaces=10000"},
		"old kernel":   {unix.EINVAL, true, nil, "CONFIG_USER_NS"},
		"container":    {unix.EPERM, true, nil, "seccomp=unconfined"},
		"weak root":    {unix.EPERM, false, nil, "CAP_SYS_ADMIN"},
	} {
		err := explainNamespaces(c.err, c.userNS, func(n string) string { return c.settings[n] })
		var r *Refusal
		if !errors.As(err, &r) || !errors.Is(err, c.err) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
		if c.userNS && !strings.Contains(strings.ToLower(err.Error()), "run as root") {
			t.Errorf("%s: root is not mentioned: %v", name, err)
		}
	}
	for _, c := range []struct {
		err    error
		userNS bool
		want   string
	}{
		{&overlayError{unix.ENODEV}, false, "modprobe overlay"},
		{&overlayError{unix.EPERM}, true, "Linux 5.11"},
		{&overlayError{unix.EINVAL}, false, "/state"},
		{&overlayError{unix.EPERM}, false, "forbids mounts"},
		{fmt.Errorf("mount proc on /proc: %w", unix.EPERM), true, "systempaths=unconfined"},
	} {
		if err := explain(toWire(c.err), c.userNS, "/state"); !strings.Contains(err.Error(), c.want) || !errors.Is(err, errors.Unwrap(c.err)) {
			t.Errorf("%v: %v", c.err, err)
		}
	}
}

func TestFrames(t *testing.T) {
	var b bytes.Buffer
	f := frames{&b}
	text := strings.Repeat("0123456789", 250_000)
	if _, err := io.WriteString(f, text); err != nil {
		t.Fatal(err)
	}
	if err := f.finish(); err != nil {
		t.Fatal(err)
	}
	whole := b.Bytes()
	got, err := io.ReadAll(&unframed{r: bytes.NewReader(whole)})
	if err != nil || string(got) != text {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	for _, n := range []int{0, 2, 4, 100, len(whole) - 4, len(whole) - 1} {
		if _, err := io.ReadAll(&unframed{r: bytes.NewReader(whole[:n])}); !errors.Is(err, errAborted) {
			t.Errorf("cut off after %d bytes: %v", n, err)
		}
	}
}

func TestTreeOf(t *testing.T) {
	table := []process{
		{pid: 10, parent: 1, session: 10, state: 'S'},  // the command
		{pid: 11, parent: 10, session: 10, state: 'R'}, // its child
		{pid: 12, parent: 11, session: 12, state: 'S'}, // has a session of its own
		{pid: 13, parent: 1, session: 10, state: 'S'},  // orphan of the session
		{pid: 14, parent: 10, session: 10, state: 'Z'}, // dead already
		{pid: 20, parent: 1, session: 20, state: 'S'},  // another command
		{pid: 30, parent: 31, session: 30, state: 'S'}, // never ends upwards
		{pid: 31, parent: 30, session: 30, state: 'S'},
	}
	if got := treeOf(table, 10); !slices.Equal(got, []int{10, 11, 12, 13}) {
		t.Errorf("got %v", got)
	}
}

func FuzzParseStat(f *testing.F) {
	f.Add([]byte("12 (a b) (c)) S 3 4 5 6"))
	f.Add([]byte(")("))
	f.Fuzz(func(t *testing.T, text []byte) { parseStat(1, text) })
}

func TestParseStat(t *testing.T) {
	q, ok := parseStat(12, []byte("12 (a) S (b)) Z 3 4 5 6"))
	if !ok || q != (process{pid: 12, parent: 3, session: 5, state: 'Z', name: "a) S (b)"}) {
		t.Errorf("got %+v, %v", q, ok)
	}
}

func users(t testing.TB, passwd, group string) *layers.Root {
	t.Helper()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "etc"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"passwd": passwd, "group": group} {
		if err := os.WriteFile(filepath.Join(dir, "etc", name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	root, err := layers.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = root.Close() })
	return root
}

func TestLookupUser(t *testing.T) {
	root := users(t, "root:x:0:0:r:/home/root:/bin/sh\n# comment\nme:x:1000:100::/home/me:/bin/sh\nbad:x:no:0::/:/\n", "root:x:0:\nwheel:x:10:root,me\nusers:x:100:\n")
	for spec, want := range map[string]account{
		"":         {0, 0, []uint32{10}, "/home/root"},
		"root":     {0, 0, []uint32{10}, "/home/root"},
		"me":       {1000, 100, []uint32{10}, "/home/me"},
		"1000":     {1000, 100, []uint32{10}, "/home/me"},
		"me:wheel": {1000, 10, []uint32{10}, "/home/me"},
		"77":       {77, 0, nil, "/"},
		"77:88":    {77, 88, nil, "/"},
	} {
		got, err := lookupUser(root, spec)
		if err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%q: %v, %v, want %v", spec, got, err, want)
		}
	}
	for _, spec := range []string{"nobody", "me:nobody", "bad", "-1", "99999999999"} {
		if got, err := lookupUser(root, spec); err == nil {
			t.Errorf("%q: %v", spec, got)
		}
	}
}

func FuzzLookupUser(f *testing.F) {
	f.Add("me", "me:x:1:2::/h:/s\n", "g:x:1:me\n")
	f.Fuzz(func(t *testing.T, spec, passwd, group string) {
		_, _ = lookupUser(users(t, passwd, group), spec)
	})
}

func TestRanges(t *testing.T) {
	file := filepath.Join(t.TempDir(), "subuid")
	text := "other:1:2\nme:100000:65536\n\nbroken\nme:x:1\nme:5:-1\n1000:300000:10\n"
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	want := []syscall.SysProcIDMap{{ContainerID: 1, HostID: 100000, Size: 65536}, {ContainerID: 65537, HostID: 300000, Size: 10}}
	if got := ranges(file, []string{"1000", "me"}); !slices.Equal(got, want) {
		t.Errorf("got %v", got)
	}
	if got := ranges(filepath.Join(t.TempDir(), "missing"), []string{"me"}); got != nil {
		t.Errorf("got %v", got)
	}
}

func TestCapabilities(t *testing.T) {
	got, err := Capabilities([]string{"cap_sys_admin", "NET_ADMIN"})
	if err != nil || !slices.Contains(got, unix.CAP_SYS_ADMIN) || !slices.Contains(got, unix.CAP_NET_ADMIN) {
		t.Errorf("got %v, %v", got, err)
	}
	if slices.Contains(commonCapabilities, unix.CAP_SYS_ADMIN) || slices.Contains(commonCapabilities, unix.CAP_SYS_PTRACE) {
		t.Error("commands could leave the sandbox")
	}
	if _, err := Capabilities([]string{"FLY"}); err == nil {
		t.Error("an unknown capability was accepted")
	}
}
