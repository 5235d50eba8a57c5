package install

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	pgperrors "github.com/ProtonMail/go-crypto/openpgp/errors"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
)

// Keys are the OpenPGP keys that the user trusts to sign plugins.
type Keys struct {
	ring openpgp.EntityList
	// from is where they were read.
	from string
}

// maxKeys bounds a file of keys.
const maxKeys = 16 << 20

// ReadKeys reads public keys, armored or not, from a file or from all files of a
// folder.
func ReadKeys(path string) (*Keys, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("keys of plugins: %w", err)
	}
	files := []string{path}
	if info.IsDir() {
		entries, err := os.ReadDir(path)
		if err != nil {
			return nil, fmt.Errorf("keys of plugins: %w", err)
		}
		files = nil
		for _, e := range entries {
			if !e.IsDir() {
				files = append(files, filepath.Join(path, e.Name()))
			}
		}
	}
	k := &Keys{from: path}
	for _, file := range files {
		ring, err := readKeyFile(file)
		if err != nil {
			return nil, fmt.Errorf("keys of plugins: %s: %w", file, err)
		}
		k.ring = append(k.ring, ring...)
	}
	if len(k.ring) == 0 {
		return nil, fmt.Errorf("keys of plugins: there are none in %s", path)
	}
	return k, nil
}

func readKeyFile(file string) (openpgp.EntityList, error) {
	info, err := os.Stat(file)
	if err != nil {
		return nil, err
	}
	if info.Size() > maxKeys {
		return nil, fmt.Errorf("it is larger than %d bytes", maxKeys)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	if bytes.Contains(text, []byte("-----BEGIN PGP")) {
		return openpgp.ReadArmoredKeyRing(bytes.NewReader(text))
	}
	return openpgp.ReadKeyRing(bytes.NewReader(text))
}

// SignatureState is what is known of the signature of a release.
type SignatureState uint8

// The states.
const (
	// NotChecked: there are no keys to check it with.
	NotChecked SignatureState = iota
	// NotSigned: the release has no signature.
	NotSigned
	// UnknownKey: it is signed with a key that is not among the user's.
	UnknownKey
	// Signed: it is signed with one of the user's keys.
	Signed
)

// Signature is what is known of the signature of a release's checksums.
type Signature struct {
	State SignatureState
	// By is the key's owner, or the id of a key that is not known.
	By string
}

// String is what the user is told.
func (s Signature) String() string {
	switch s.State {
	case NotSigned:
		return "not signed"
	case UnknownKey:
		return "signature not checked: the key " + s.By + " is not among yours"
	case Signed:
		return "signed by " + s.By
	}
	return "signature not checked: no keys are set up"
}

// check verifies a detached signature of a text. A signature that does not belong to
// the text is an error; one of an unknown key is a state.
func (k *Keys) check(text, signature []byte, now time.Time) (Signature, error) {
	verify := openpgp.CheckDetachedSignature
	if bytes.Contains(signature, []byte("-----BEGIN PGP")) {
		verify = openpgp.CheckArmoredDetachedSignature
	}
	signer, err := verify(k.ring, bytes.NewReader(text), bytes.NewReader(signature), &packet.Config{Time: func() time.Time { return now }})
	switch {
	case errors.Is(err, pgperrors.ErrUnknownIssuer):
		return Signature{UnknownKey, "that signed it"}, nil
	case err != nil:
		return Signature{}, fmt.Errorf("the signature of the checksums is wrong: %w", err)
	}
	by := fmt.Sprintf("%016X", signer.PrimaryKey.KeyId)
	if id := signer.PrimaryIdentity(); id != nil {
		by = strings.Map(printable, id.Name) + " (" + by + ")"
	}
	return Signature{Signed, by}, nil
}

func printable(r rune) rune {
	if r < ' ' || r == 0x7f {
		return '?'
	}
	return r
}
