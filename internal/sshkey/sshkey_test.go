package sshkey_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"ingot/internal/sshkey"
)

func TestGenerate(t *testing.T) {
	for name, c := range map[string]struct {
		kind string
		bits int
		want string
		size int
	}{
		"the default":     {"", 0, ssh.KeyAlgoED25519, 256},
		"ed25519":         {"ed25519", 4096, ssh.KeyAlgoED25519, 256},
		"rsa":             {"rsa", 0, ssh.KeyAlgoRSA, 4096},
		"the least rsa":   {"rsa", 1024, ssh.KeyAlgoRSA, 1024},
		"ecdsa":           {"ecdsa", 0, ssh.KeyAlgoECDSA521, 521},
		"the least ecdsa": {"ecdsa", 256, ssh.KeyAlgoECDSA256, 256},
		"ecdsa between":   {"ecdsa", 384, ssh.KeyAlgoECDSA384, 384},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, err := sshkey.Generate(c.kind, c.bits, "ingot a key")
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.HasPrefix(p.Private, []byte("-----BEGIN OPENSSH PRIVATE KEY-----\n")) {
				t.Errorf("the private key is %.40q", p.Private)
			}
			signer, err := ssh.ParsePrivateKey(p.Private)
			if err != nil {
				t.Fatal(err)
			}
			public, comment, options, rest, err := ssh.ParseAuthorizedKey(p.Public)
			if err != nil || comment != "ingot a key" || len(options) != 0 || len(rest) != 0 || bytes.Count(p.Public, []byte("\n")) != 1 {
				t.Errorf("the public key %q: comment %q, options %q, rest %q, %v", p.Public, comment, options, rest, err)
			}
			if public.Type() != c.want || !bytes.Equal(public.Marshal(), signer.PublicKey().Marshal()) {
				t.Errorf("%s does not belong to %s", public.Type(), signer.PublicKey().Type())
			}
			if got := size(t, public); got != c.size {
				t.Errorf("%d bits, want %d", got, c.size)
			}
		})
	}
}

func size(t *testing.T, k ssh.PublicKey) int {
	t.Helper()
	switch k := crypto.PublicKey(k.(ssh.CryptoPublicKey).CryptoPublicKey()).(type) {
	case *rsa.PublicKey:
		return k.N.BitLen()
	case *ecdsa.PublicKey:
		return k.Params().BitSize
	case ed25519.PublicKey:
		return 8 * len(k)
	}
	t.Fatalf("what is a %T?", k)
	return 0
}

func TestGenerateMakesANewKeyEachTime(t *testing.T) {
	a, errA := sshkey.Generate("", 0, "")
	b, errB := sshkey.Generate("", 0, "")
	if errA != nil || errB != nil || bytes.Equal(a.Private, b.Private) || bytes.Equal(a.Public, b.Public) {
		t.Errorf("%v, %v, %q, %q", errA, errB, a.Public, b.Public)
	}
}

func TestGenerateRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		kind    string
		bits    int
		comment string
		want    string
	}{
		"dsa":               {"dsa", 0, "", "use ed25519"},
		"what is no kind":   {"rot13", 0, "", `"rot13" is not a type`},
		"a small rsa key":   {"rsa", 1023, "", "1023 bits"},
		"a huge rsa key":    {"rsa", 1 << 20, "", "1048576 bits"},
		"an unknown curve":  {"ecdsa", 512, "", "512 bits; use 256, 384 or 521"},
		"a second line":     {"", 0, "name\nssh-rsa AAAA", "more than one line"},
		"a carriage return": {"", 0, "name\r", "more than one line"},
	} {
		if p, err := sshkey.Generate(c.kind, c.bits, c.comment); err == nil || !strings.Contains(err.Error(), c.want) || p.Private != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestOpenSSHTakesTheKeys lets ssh-keygen derive the public key from the
// private one.
func TestOpenSSHTakesTheKeys(t *testing.T) {
	keygen, err := exec.LookPath("ssh-keygen")
	if err != nil {
		t.Skip("there is no ssh-keygen")
	}
	for _, kind := range []string{"ed25519", "ecdsa", "rsa"} {
		p, err := sshkey.Generate(kind, 0, "a comment")
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(t.TempDir(), "key")
		if err := os.WriteFile(file, p.Private, 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := exec.Command(keygen, "-y", "-f", file).CombinedOutput()
		if err != nil || string(got) != string(p.Public) {
			t.Errorf("%s: %v, %q is not %q", kind, err, got, p.Public)
		}
	}
}
