//go:build unix

package winrm_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"ingot/internal/comm/winrm"
	"ingot/internal/component"
	"ingot/internal/readiness"
	"ingot/internal/testkit/winrmd"
)

// With NTLM every message without TLS is encrypted, which the server insists on.
func TestNTLM(t *testing.T) {
	for name, ssl := range map[string]bool{"sealed": false, "over TLS": true} {
		t.Run(name, func(t *testing.T) {
			s := start(t, winrmd.Config{Offers: []string{"Negotiate", "Kerberos"}, TLS: ssl})
			c := connection()
			c.WinRMUseNTLM, c.WinRMUseSSL, c.WinRMInsecure = true, ssl, ssl
			comm := dial(t, s, c)
			var out bytes.Buffer
			exit, err := comm.Run(t.Context(), component.Command{Line: "cat; exit 6", Stdin: strings.NewReader("through"), Stdout: &out})
			if err != nil || exit.Code != 6 || out.String() != "through" {
				t.Errorf("got %v, %v, %q", exit, err, out.String())
			}
			body, target := make([]byte, 6<<20), filepath.Join(t.TempDir(), "file")
			_, _ = rand.Read(body) // never fails
			if err := comm.Put(t.Context(), target, bytes.NewReader(body), component.FileMeta{Size: -1}); err != nil {
				t.Fatal(err)
			}
			var got bytes.Buffer
			if err := comm.Get(t.Context(), target, &got); err != nil || !bytes.Equal(got.Bytes(), body) {
				t.Errorf("got %d bytes, %v", got.Len(), err)
			}
			noShells(t, s)
		})
	}
}

func TestNTLMWithADomain(t *testing.T) {
	s := start(t, winrmd.Config{Offers: []string{"Negotiate"}})
	c := connection()
	c.WinRMUser, c.WinRMUseNTLM = `EXAMPLE\`+user, true
	dial(t, s, c)
}

func TestNTLMRefused(t *testing.T) {
	s := start(t, winrmd.Config{Offers: []string{"Negotiate"}})
	c := connection()
	c.WinRMPassword, c.WinRMUseNTLM = "wrong", true
	var refused *winrm.AuthError
	if err := tryDial(t, winrm.Deps{}, patientRun(nil), at(s, c)); !errors.As(err, &refused) || !strings.Contains(err.Error(), "winrm_password") {
		t.Errorf("got %v", err)
	}
}

func TestNTLMIsNotThere(t *testing.T) {
	s := start(t, winrmd.Config{})
	c := connection()
	c.WinRMUseNTLM, c.WinRMTimeout = true, 5e9
	var waited *readiness.TimeoutError
	if err := tryDial(t, winrm.Deps{}, patientRun(nil), at(s, c)); !errors.As(err, &waited) || !strings.Contains(err.Error(), "it offers Basic") {
		t.Errorf("got %v", err)
	}
}
