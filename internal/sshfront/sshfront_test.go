//go:build unix

package sshfront_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"

	"ingot/internal/comm/fake"
	"ingot/internal/comm/local"
	"ingot/internal/component"
	"ingot/internal/component/componenttest"
	"ingot/internal/sshfront"
)

// front is a server with what a client needs.
type front struct {
	*sshfront.Server
	key    ssh.Signer
	pem    []byte
	dir    string
	hostPK ssh.PublicKey
}

func signer(t testing.TB) (ssh.Signer, []byte) {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(private, "")
	if err != nil {
		t.Fatal(err)
	}
	s, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return s, pem.EncodeToMemory(block)
}

func start(t testing.TB, comm component.Communicator, change ...func(*sshfront.Options)) *front {
	t.Helper()
	f := &front{dir: t.TempDir()}
	host, _ := signer(t)
	f.key, f.pem = signer(t)
	f.hostPK = host.PublicKey()
	o := sshfront.Options{HostKey: host, ClientKey: f.key.PublicKey(), Dir: f.dir}
	for _, c := range change {
		c(&o)
	}
	var err error
	if f.Server, err = sshfront.Start(t.Context(), comm, o); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.Close)
	return f
}

// onThisMachine is a communicator to here.
func onThisMachine(t testing.TB) component.Communicator {
	c := local.New(new(componenttest.MemoryJournal))
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func (f *front) client(t testing.TB) *ssh.Client {
	t.Helper()
	c, err := ssh.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(f.Port())), &ssh.ClientConfig{
		User: "any", Auth: []ssh.AuthMethod{ssh.PublicKeys(f.key)}, HostKeyCallback: ssh.FixedHostKey(f.hostPK),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func (f *front) session(t testing.TB) *ssh.Session {
	t.Helper()
	s, err := f.client(t).NewSession()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestCommands(t *testing.T) {
	f := start(t, onThisMachine(t))
	c := f.client(t)
	for name, want := range map[string]struct {
		line, stdin, stdout, stderr string
		code                        int
	}{
		"output":      {"echo out; echo err >&2", "", "out\n", "err\n", 0},
		"exit code":   {"exit 7", "", "", "", 7},
		"input":       {"cat", "a\x00b\n", "a\x00b\n", "", 0},
		"not read":    {"echo done", strings.Repeat("x", 1<<20), "done\n", "", 0},
		"large input": {"wc -c | tr -d ' '", strings.Repeat("x", 5<<20), "5242880\n", "", 0},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := c.NewSession()
			if err != nil {
				t.Fatal(err)
			}
			var out, errs bytes.Buffer
			s.Stdin, s.Stdout, s.Stderr = strings.NewReader(want.stdin), &out, &errs
			err = s.Run(want.line)
			code := 0
			var failed *ssh.ExitError
			if errors.As(err, &failed) {
				code = failed.ExitStatus()
			} else if err != nil {
				t.Fatal(err)
			}
			if code != want.code || out.String() != want.stdout || errs.String() != want.stderr {
				t.Errorf("exit code %d, %q, %q", code, out.String(), errs.String())
			}
		})
	}
}

func TestOtherKeysAreRefused(t *testing.T) {
	refused := make(chan error, 1)
	f := start(t, onThisMachine(t), func(o *sshfront.Options) {
		o.HandshakeFailed = func(err error) { refused <- err }
	})
	other, _ := signer(t)
	_, err := ssh.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(f.Port())), &ssh.ClientConfig{
		User: "any", Auth: []ssh.AuthMethod{ssh.PublicKeys(other), ssh.Password("")}, HostKeyCallback: ssh.FixedHostKey(f.hostPK),
	})
	if err == nil {
		t.Fatal("another key was let in")
	}
	if err := <-refused; err == nil {
		t.Error("the server has not said why")
	}
}

// TestRefused: what would lead elsewhere, or hang, is refused.
func TestRefused(t *testing.T) {
	f := start(t, onThisMachine(t))
	if err := f.session(t).Shell(); err == nil {
		t.Error("there is an interactive shell")
	}
	if _, err := f.client(t).Dial("tcp", "127.0.0.1:1"); err == nil {
		t.Error("there is forwarding")
	}
	if _, err := f.client(t).Listen("tcp", "127.0.0.1:0"); err == nil {
		t.Error("there is forwarding back")
	}
	s := f.session(t)
	if err := s.Start("sleep 600"); err != nil {
		t.Fatal(err)
	}
	if ok, err := s.SendRequest("exec", true, ssh.Marshal(&struct{ Line string }{"true"})); ok || err != nil {
		t.Errorf("a second command in one session: %v, %v", ok, err)
	}
	_ = s.Close()
}

// TestClosingEndsCommands: a command ends when its session, or the whole
// server, is closed.
func TestClosingEndsCommands(t *testing.T) {
	for name, end := range map[string]func(f *front, s *ssh.Session){
		"session": func(_ *front, s *ssh.Session) { _ = s.Close() },
		"server":  func(f *front, _ *ssh.Session) { f.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			ended := make(chan error, 1)
			started := make(chan struct{})
			m := fake.NewMachine()
			m.Program("linger", func(ctx context.Context, _ *fake.Process) int {
				close(started)
				<-ctx.Done()
				ended <- context.Cause(ctx)
				return 1
			})
			f := start(t, m.Connect(fake.Options{}))
			s := f.session(t)
			if err := s.Start("linger"); err != nil {
				t.Fatal(err)
			}
			<-started
			end(f, s)
			select {
			case <-ended:
			case <-time.After(time.Minute):
				t.Error("the command goes on")
			}
		})
	}
}

// TestLost: when the communicator fails, the client sees a failed connection,
// and the server knows why.
func TestLost(t *testing.T) {
	comm := fake.NewMachine().Connect(fake.Options{Before: func(context.Context, fake.Op) error {
		return fmt.Errorf("run: %w", component.ErrDisconnected)
	}})
	f := start(t, comm)
	out, err := f.session(t).CombinedOutput("true")
	var failed *ssh.ExitError
	if !errors.As(err, &failed) || failed.ExitStatus() != 255 || !strings.Contains(string(out), "connection lost") {
		t.Errorf("got %v, %q", err, out)
	}
	if !errors.Is(f.Lost(), component.ErrDisconnected) {
		t.Errorf("the server says %v", f.Lost())
	}
}

func TestPorts(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	busy := taken.Addr().(*net.TCPAddr).Port
	f := start(t, onThisMachine(t), func(o *sshfront.Options) { o.Ports = []int{busy, 0} })
	if f.Port() == busy {
		t.Error("the port belongs to somebody else")
	}
	host, _ := signer(t)
	if _, err := sshfront.Start(t.Context(), onThisMachine(t), sshfront.Options{HostKey: host, Ports: []int{busy}}); err == nil {
		t.Error("a port was taken twice")
	}
}

func (f *front) sftp(t testing.TB) *sftp.Client {
	t.Helper()
	c, err := sftp.NewClient(f.client(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Error(err)
	}
}

// TestSFTP does all that the protocol has.
func TestSFTP(t *testing.T) {
	f := start(t, onThisMachine(t))
	c := f.sftp(t)
	dir := filepath.Join(t.TempDir(), "it's a folder")
	at := func(name string) string { return filepath.Join(dir, name) }

	must(t, c.Mkdir(dir))
	if err := c.Mkdir(dir); err == nil {
		t.Error("a folder was made twice")
	}
	body := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
	w, err := c.Create(at("new\nline"))
	must(t, err)
	must(t, w.Chmod(0o751))
	must(t, c.Chtimes(at("new\nline"), time.Unix(1_600_000_000, 0), time.Unix(1_600_000_000, 0)))
	_, err = w.ReadFrom(bytes.NewReader(body))
	must(t, err)
	must(t, w.Close())
	info, err := os.Stat(at("new\nline"))
	must(t, err)
	if info.Mode() != 0o751 || info.Size() != int64(len(body)) || info.ModTime().Unix() != 1_600_000_000 {
		t.Errorf("the file arrived as %v, %d, %v", info.Mode(), info.Size(), info.ModTime())
	}
	r, err := c.Open(at("new\nline"))
	must(t, err)
	back, err := io.ReadAll(r)
	must(t, err)
	must(t, r.Close())
	if !bytes.Equal(back, body) {
		t.Error("another text came back")
	}

	must(t, c.Symlink("new\nline", at("link")))
	to, err := c.ReadLink(at("link"))
	if err != nil || to != "new\nline" {
		t.Errorf("the link leads to %q, %v", to, err)
	}
	must(t, c.Mkdir(at(".hidden")))
	entries, err := c.ReadDir(dir)
	must(t, err)
	var got []string
	for _, e := range entries {
		got = append(got, e.Mode().String()+" "+e.Name())
	}
	slices.Sort(got)
	want := []string{"-rwxr-x--x new\nline", "Lrwxrwxrwx link", "d" + modeOf(t, at(".hidden")).String()[1:] + " .hidden"}
	slices.Sort(want)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	l, err := c.Lstat(at("link"))
	if err != nil || l.Mode().Type() != fs.ModeSymlink {
		t.Errorf("Lstat: %v, %v", l, err)
	}
	s, err := c.Stat(at("link"))
	if err != nil || !s.Mode().IsRegular() || s.Size() != int64(len(body)) {
		t.Errorf("Stat: %v, %v", s, err)
	}

	part, err := c.OpenFile(at("new\nline"), os.O_WRONLY)
	must(t, err)
	_, err = part.WriteAt([]byte("X"), 1)
	must(t, err)
	must(t, part.Close())
	if text, err := os.ReadFile(at("new\nline")); err != nil || len(text) != len(body) || string(text[:3]) != "0X2" {
		t.Errorf("a change inside the file made it %.3q, %d, %v", text, len(text), err)
	}
	must(t, c.Chmod(at("new\nline"), 0o600))
	must(t, c.Truncate(at("new\nline"), 3))
	must(t, c.Chtimes(at("new\nline"), time.Unix(1_500_000_001, 0), time.Unix(1_500_000_001, 0)))
	if i, err := os.Stat(at("new\nline")); err != nil || i.Mode() != 0o600 || i.Size() != 3 || i.ModTime().Unix() != 1_500_000_001 {
		t.Errorf("it is %v, %v", i, err)
	}
	must(t, c.Rename(at("new\nline"), at("b")))
	must(t, os.WriteFile(at("c"), nil, 0o600))
	if err := c.Rename(at("b"), at("c")); err == nil {
		t.Error("a file was replaced")
	}
	must(t, c.PosixRename(at("b"), at("c")))
	must(t, c.Link(at("c"), at("d")))
	must(t, c.Remove(at("d")))
	must(t, c.RemoveDirectory(at(".hidden")))
	for name, err := range map[string]error{
		"Remove": c.Remove(at("none")), "Stat": second(c.Stat(at("none"))), "Open": second(c.Open(at("none"))),
		"ReadDir": second(c.ReadDir(at("none"))), "Chmod": c.Chmod(at("none"), 0o600), "ReadLink": second(c.ReadLink(at("c"))),
	} {
		if !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s of what is not there: %v", name, err)
		}
	}
	if home, err := c.RealPath("."); err != nil || !filepath.IsAbs(home) {
		t.Errorf("the start is %q, %v", home, err)
	}
	left, err := os.ReadDir(f.dir)
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func second[T any](_ T, err error) error { return err }

func modeOf(t testing.TB, name string) fs.FileMode {
	i, err := os.Stat(name)
	must(t, err)
	return i.Mode()
}

// TestHalfAFile: what is not received as a whole does not reach the machine.
func TestHalfAFile(t *testing.T) {
	f := start(t, onThisMachine(t))
	c := f.sftp(t)
	name := filepath.Join(t.TempDir(), "half")
	w, err := c.Create(name)
	must(t, err)
	_, err = w.Write([]byte("only the beginning"))
	must(t, err)
	must(t, c.Close())
	f.Close()
	if _, err := os.Stat(name); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the file is there: %v", err)
	}
	if left, _ := os.ReadDir(f.dir); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// TestWithoutStat: small systems do not have the command stat.
func TestWithoutStat(t *testing.T) {
	bin := t.TempDir()
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "file"), []byte("12345"), 0o600))
	must(t, os.Symlink("file", filepath.Join(dir, "link")))
	for _, name := range []string{"sh", "wc"} {
		from, err := exec.LookPath(name)
		must(t, err)
		must(t, os.Symlink(from, filepath.Join(bin, name)))
	}
	comm := &prefixed{onThisMachine(t), "PATH=" + bin + "; "}
	c := start(t, comm).sftp(t)
	i, err := c.Stat(filepath.Join(dir, "file"))
	if err != nil || i.Size() != 5 || !i.Mode().IsRegular() {
		t.Errorf("a file is %v, %v", i, err)
	}
	if i, err = c.Stat(dir); err != nil || !i.IsDir() {
		t.Errorf("a folder is %v, %v", i, err)
	}
	if i, err = c.Lstat(filepath.Join(dir, "link")); err != nil || i.Mode().Type() != fs.ModeSymlink {
		t.Errorf("a link is %v, %v", i, err)
	}
}

// prefixed puts something before every command.
type prefixed struct {
	component.Communicator
	prefix string
}

func (p *prefixed) Run(ctx context.Context, c component.Command) (component.Exit, error) {
	c.Line = p.prefix + c.Line
	return p.Communicator.Run(ctx, c)
}

// TestOpenSSH: the programs that Ansible uses understand the server.
func TestOpenSSH(t *testing.T) {
	f := start(t, onThisMachine(t))
	home := t.TempDir()
	key, hosts := filepath.Join(home, "key"), filepath.Join(home, "known_hosts")
	address := net.JoinHostPort("127.0.0.1", strconv.Itoa(f.Port()))
	must(t, os.WriteFile(key, f.pem, 0o600))
	must(t, os.WriteFile(hosts, []byte(knownhosts.Line([]string{address}, f.hostPK)+"\n"), 0o600))
	options := []string{"-F", "none", "-o", "IdentityFile=" + key, "-o", "IdentitiesOnly=yes", "-o", "UserKnownHostsFile=" + hosts, "-o", "StrictHostKeyChecking=yes", "-o", "BatchMode=yes"}
	run := func(name, stdin string, args ...string) string {
		t.Helper()
		if _, err := exec.LookPath(name); err != nil {
			t.Skipf("%s is not installed", name)
		}
		cmd := exec.CommandContext(t.Context(), name, append(slices.Clone(options), args...)...)
		cmd.Stdin = strings.NewReader(stdin)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Errorf("%s %v: %v\n%s", name, args, err, out)
		}
		return string(out)
	}
	port := strconv.Itoa(f.Port())
	if out := run("ssh", "in", "-p", port, "127.0.0.1", "cat; echo ' out'"); out != "in out\n" {
		t.Errorf("ssh printed %q", out)
	}
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "a file"), []byte("text"), 0o640))
	run("sftp", fmt.Sprintf("put -p \"%s/a file\" %s/b\nget -p %[2]s/b %[2]s/c\n", dir, dir), "-b", "-", "-P", port, "127.0.0.1")
	must(t, os.Mkdir(filepath.Join(dir, "tree"), 0o755))
	must(t, os.WriteFile(filepath.Join(dir, "tree", "leaf"), []byte("text"), 0o755))
	run("scp", "", "-s", "-p", "-r", "-P", port, dir+"/tree", "127.0.0.1:"+dir+"/copy")
	run("scp", "", "-s", "-p", "-r", "-P", port, "127.0.0.1:"+dir+"/copy", dir+"/back")
	run("scp", "", "-O", "-p", "-r", "-P", port, dir+"/tree", "127.0.0.1:"+dir+"/oldcopy")
	run("scp", "", "-O", "-p", "-r", "-P", port, "127.0.0.1:"+dir+"/oldcopy", dir+"/oldback")
	run("scp", "", "-O", "-r", "-P", port, dir+"/tree", dir+"/a file", "127.0.0.1:"+dir+"/oldcopy")
	run("scp", "", "-O", "-P", port, "127.0.0.1:"+dir+"/b", "127.0.0.1:"+dir+"/c", dir+"/tree")
	for name, mode := range map[string]fs.FileMode{
		"oldcopy/leaf": 0o755, "oldback/leaf": 0o755, "oldcopy/tree/leaf": 0o755, "oldcopy/a file": 0o640, "tree/b": 0o640, "tree/c": 0o640,
		"b": 0o640, "c": 0o640, "copy/leaf": 0o755, "back/leaf": 0o755} {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil || string(text) != "text" {
			t.Errorf("%s: %q, %v", name, text, err)
			continue
		}
		if got := modeOf(t, filepath.Join(dir, name)); got != mode {
			t.Errorf("%s: %v, want %v", name, got, mode)
		}
	}
}

// TestSCPErrors: the client hears of what goes wrong, and goes on with the rest.
func TestSCPErrors(t *testing.T) {
	f := start(t, onThisMachine(t))
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "file"), nil, 0o600))
	for name, c := range map[string]struct{ line, send, want string }{
		"folder in place of a file": {"scp -f " + dir, "\x00", "\x01scp: " + dir + ": is a folder\n"},
		"not there":                 {"scp -f " + dir + "/none", "\x00", "\x01scp: " + dir + "/none: file does not exist\n"},
		"not a folder":              {"scp -t -d " + dir + "/file", "", "\x01scp: " + dir + "/file: not a folder\n"},
		"folder not asked for":      {"scp -t " + dir, "D0755 0 x\n", "\x00\x01scp: " + dir + ": a folder was not asked for\n"},
		"name that leads elsewhere": {"scp -r -t " + dir, "C0644 0 ../x\n", "\x00\x01scp: " + dir + ": \"../x\" cannot be the name of a file\n"},
		"half a file":               {"scp -t " + dir + "/half", "C0644 5 x\nab", "\x00\x00\x01scp: " + dir + "/half: unexpected EOF\n"},
		"no folder for it":          {"scp -t " + dir + "/none/x", "C0644 2 x\nab\x00", "\x00\x00\x01scp: " + dir + "/none/x: file does not exist\n"},
		"unknown":                   {"scp -t " + dir, "X\n", "\x00\x01scp: " + dir + ": message \"X\\n\" is not known\n"},
	} {
		t.Run(name, func(t *testing.T) {
			s := f.session(t)
			s.Stdin = strings.NewReader(c.send)
			out, err := s.Output(c.line)
			var failed *ssh.ExitError
			if !errors.As(err, &failed) || failed.ExitStatus() != 1 || string(out) != c.want {
				t.Errorf("%v, %q, want %q", err, out, c.want)
			}
		})
	}
}

// TestSFTPCommand: a command on the machine may speak the protocol in place of
// the server.
func TestSFTPCommand(t *testing.T) {
	const program = "/usr/lib/openssh/sftp-server"
	if _, err := os.Stat(program); err != nil {
		t.Skipf("there is no %s", program)
	}
	f := start(t, onThisMachine(t), func(o *sshfront.Options) { o.SFTPCommand = program + " -e" })
	name := filepath.Join(t.TempDir(), "x")
	w, err := f.sftp(t).OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC)
	must(t, err)
	_, err = os.Stat(name) // the server's own way makes the file when it is closed
	must(t, err)
	must(t, w.Close())
}
