//go:build unix

package winrm_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ingot/internal/comm/winrm"
	"ingot/internal/component"
	"ingot/internal/testkit/winrmd"
)

// clientCertificate writes a certificate of its own and its key to two files.
func clientCertificate(t *testing.T, name string) (der []byte, certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	form := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	if der, err = x509.CreateCertificate(rand.Reader, form, form, &key.PublicKey, key); err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	certFile, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for path, block := range map[string]*pem.Block{certFile: {Type: "CERTIFICATE", Bytes: der}, keyFile: {Type: "PRIVATE KEY", Bytes: secret}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return der, certFile, keyFile
}

// byCertificate is a connection without a name or a password.
func byCertificate(certFile, keyFile string) component.Connection {
	return component.Connection{Communicator: "winrm", WinRMCertFile: certFile, WinRMKeyFile: keyFile, WinRMUseSSL: true, WinRMInsecure: true}
}

func TestClientCertificate(t *testing.T) {
	der, certFile, keyFile := clientCertificate(t, "builder")
	// This server takes nothing else: its only password is another one.
	s := start(t, winrmd.Config{TLS: true, ClientCert: der, Offers: []string{"Kerberos"}})
	comm := dial(t, s, byCertificate(certFile, keyFile))
	var out bytes.Buffer
	exit, err := comm.Run(t.Context(), component.Command{Line: "cat; exit 6", Stdin: strings.NewReader("through"), Stdout: &out})
	if err != nil || exit.Code != 6 || out.String() != "through" {
		t.Errorf("got %v, %v, %q", exit, err, out.String())
	}
	noShells(t, s)
}

func TestClientCertificateAndKeyInOneFile(t *testing.T) {
	der, certFile, keyFile := clientCertificate(t, "builder")
	key, err := os.ReadFile(keyFile)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(certFile, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write(key); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	dial(t, start(t, winrmd.Config{TLS: true, ClientCert: der}), byCertificate(certFile, ""))
}

func TestClientCertificateRefused(t *testing.T) {
	der, _, _ := clientCertificate(t, "somebody else")
	_, certFile, keyFile := clientCertificate(t, "builder")
	for name, cfg := range map[string]winrmd.Config{
		"by the service": {TLS: true, ClientCert: der, Offers: []string{"Basic", "Negotiate"}},
		"by TLS":         {TLS: true, ClientCert: der, RefuseClientCerts: true},
	} {
		t.Run(name, func(t *testing.T) {
			r := patientRun(nil)
			begin := r.Clock.Now()
			err := tryDial(t, winrm.Deps{}, r, at(start(t, cfg), byCertificate(certFile, keyFile)))
			var refused *winrm.AuthError
			if !errors.As(err, &refused) || refused.Attempts != 3 || !strings.Contains(err.Error(), `"CN=builder"`) || !strings.Contains(err.Error(), "certmapping") {
				t.Errorf("got %v", err)
			}
			if d := r.Clock.Now().Sub(begin); d > 3*time.Second {
				t.Errorf("it took %s", d)
			}
		})
	}
}

func TestClientCertificateThatCannotBeUsed(t *testing.T) {
	_, certFile, _ := clientCertificate(t, "builder")
	_, _, otherKey := clientCertificate(t, "builder")
	plain := byCertificate(certFile, otherKey)
	plain.WinRMUseSSL = false
	for name, x := range map[string]struct {
		c    component.Connection
		says string
	}{
		"another key": {byCertificate(certFile, otherKey), "private key does not match"},
		"no file":     {byCertificate(filepath.Join(t.TempDir(), "missing.pem"), ""), "missing.pem"},
		"no key":      {byCertificate(certFile, ""), "winrm_cert_file"},
		"no TLS":      {plain, "winrm_use_ssl"},
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t, winrmd.Config{})
			if err := tryDial(t, winrm.Deps{}, patientRun(nil), at(s, x.c)); !strings.Contains(err.Error(), x.says) {
				t.Errorf("got %v", err)
			}
			if n := s.Requests("Create") + s.Refused(); n != 0 {
				t.Errorf("%d requests were sent", n)
			}
		})
	}
}
