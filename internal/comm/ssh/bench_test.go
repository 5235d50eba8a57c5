//go:build unix

package ssh_test

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	xssh "golang.org/x/crypto/ssh"

	"ingot/internal/component"
	"ingot/internal/testkit/live"
)

const tenScripts = 10

// BenchmarkTenScripts runs ten trivial scripts on one connection, as ours
// does it and with nothing but the SSH library.
func BenchmarkTenScripts(b *testing.B) {
	endpoint := liveHost(b)
	b.Run("ingot", func(b *testing.B) {
		c := dial(b, endpoint)
		for b.Loop() {
			for i := range tenScripts {
				var out bytes.Buffer
				if exit, err := c.Run(b.Context(), component.Command{Line: "echo hello " + strconv.Itoa(i), Stdout: &out}); err != nil || exit.Code != 0 {
					b.Fatal(exit, err)
				}
			}
		}
	})
	b.Run("raw", func(b *testing.B) {
		client := rawClient(b)
		for b.Loop() {
			for i := range tenScripts {
				s, err := client.NewSession()
				if err != nil {
					b.Fatal(err)
				}
				if _, err := s.Output("echo hello " + strconv.Itoa(i)); err != nil {
					b.Fatal(err)
				}
				_ = s.Close()
			}
		}
	})
}

// rawClient is a connection without anything of ours.
func rawClient(b testing.TB) *xssh.Client {
	b.Helper()
	env := live.Require(b)
	text, err := os.ReadFile(env.SSH.KeyFile)
	if err != nil {
		b.Fatal(err)
	}
	key, err := xssh.ParsePrivateKey(text)
	if err != nil {
		b.Fatal(err)
	}
	client, err := xssh.Dial("tcp", env.SSH.Addr(), &xssh.ClientConfig{
		User: env.SSH.User, Auth: []xssh.AuthMethod{xssh.PublicKeys(key)}, HostKeyCallback: xssh.InsecureIgnoreHostKey(),
	})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = client.Close() })
	return client
}

// BenchmarkTree sends 1,000 files of 2 KB and one of 200 MB, as ours does it
// and as "tar c | ssh tar x" does.
func BenchmarkTree(b *testing.B) {
	endpoint := liveHost(b)
	src := b.TempDir()
	random := rand.NewChaCha8([32]byte{1})
	fill := func(name string, n int64) {
		f, err := os.Create(filepath.Join(src, name))
		if err != nil {
			b.Fatal(err)
		}
		if _, err := io.CopyN(f, random, n); err != nil {
			b.Fatal(err)
		}
		_ = f.Close()
	}
	for i := range 1000 {
		fill(fmt.Sprintf("small-%d", i), 2<<10)
	}
	fill("big", 200<<20)
	dir := remoteDir(b, endpoint)
	clean := func(b *testing.B) {
		b.StopTimer()
		if _, err := dial(b, endpoint).Run(context.Background(), component.Command{Line: "rm -rf " + dir + "/*; sync"}); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
	b.Run("ingot", func(b *testing.B) {
		b.SetBytes(202 << 20)
		c := dial(b, endpoint)
		for b.Loop() {
			clean(b)
			r, w := io.Pipe()
			go func() { _ = w.CloseWithError(pack(w, src)) }()
			if err := c.PutTree(b.Context(), dir+"/t", r); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("tar-ssh-tar", func(b *testing.B) {
		env := live.Require(b)
		b.SetBytes(202 << 20)
		for b.Loop() {
			clean(b)
			line := fmt.Sprintf("tar -C %s -cf - . | ssh -o BatchMode=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR -i %s -p %d %s@%s 'mkdir -p %s/t && tar -xf - -C %s/t'",
				src, env.SSH.KeyFile, env.SSH.Port, env.SSH.User, env.SSH.Host, dir, dir)
			if out, err := exec.Command("sh", "-c", line).CombinedOutput(); err != nil {
				b.Fatal(err, string(out))
			}
		}
	})
}

// pack is a plain archive of the files in a folder.
func pack(w io.Writer, dir string) error {
	t := tar.NewWriter(w)
	list, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range list {
		info, err := e.Info()
		if err != nil {
			return err
		}
		h, err := tar.FileInfoHeader(info, "")
		if err != nil {
			return err
		}
		h.Name = strings.TrimPrefix(e.Name(), "/")
		if err := t.WriteHeader(h); err != nil {
			return err
		}
		f, err := os.Open(filepath.Join(dir, e.Name()))
		if err != nil {
			return err
		}
		_, err = io.Copy(t, f)
		_ = f.Close()
		if err != nil {
			return err
		}
	}
	return t.Close()
}
