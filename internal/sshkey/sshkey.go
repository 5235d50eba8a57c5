// Package sshkey makes the SSH key pairs that builders use for one build.
package sshkey

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/pem"
	"fmt"
	"strings"

	"golang.org/x/crypto/ssh"

	"ingot/internal/component"
)

// Pair is a key pair as it is kept in files.
type Pair struct {
	// Private is the private key as OpenSSH writes it: PEM, without a
	// passphrase.
	Private []byte
	// Public is one line of an authorized_keys file, with its line end. Its
	// last word is the comment.
	Public []byte
}

// Generate makes a key pair. kind is a value of temporary_key_pair_type, ""
// means ed25519; bits is one of temporary_key_pair_bits, 0 means the default
// of the kind. component.TemporaryKeyBits says what is allowed. A comment in
// which there is a line end is refused, since it would be a second key.
func Generate(kind string, bits int, comment string) (Pair, error) {
	if strings.ContainsAny(comment, "\r\n\x00") {
		return Pair{}, fmt.Errorf("ssh key: the comment %q has more than one line", comment)
	}
	bits, err := component.TemporaryKeyBits(kind, bits)
	if err != nil {
		return Pair{}, fmt.Errorf("ssh key: %w", err)
	}
	private, err := generate(kind, bits)
	if err != nil {
		return Pair{}, fmt.Errorf("ssh key: generate: %w", err)
	}
	block, err := ssh.MarshalPrivateKey(private, comment)
	if err != nil {
		return Pair{}, fmt.Errorf("ssh key: encode the private key: %w", err)
	}
	public, err := ssh.NewPublicKey(private.Public())
	if err != nil {
		return Pair{}, fmt.Errorf("ssh key: encode the public key: %w", err)
	}
	line := strings.TrimSuffix(string(ssh.MarshalAuthorizedKey(public)), "\n")
	if comment != "" {
		line += " " + comment
	}
	return Pair{Private: pem.EncodeToMemory(block), Public: []byte(line + "\n")}, nil
}

func generate(kind string, bits int) (crypto.Signer, error) {
	switch kind {
	case "rsa":
		return rsa.GenerateKey(rand.Reader, bits)
	case "ecdsa":
		curve := map[int]elliptic.Curve{256: elliptic.P256(), 384: elliptic.P384(), 521: elliptic.P521()}[bits]
		return ecdsa.GenerateKey(curve, rand.Reader)
	}
	_, private, err := ed25519.GenerateKey(rand.Reader)
	return private, err
}
