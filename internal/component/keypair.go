package component

import (
	"fmt"
	"slices"

	"github.com/zclconf/go-cty/cty"

	"ingot/internal/diag"
)

// TemporaryKeyBits is the size of a key pair of a kind: what was asked for, or
// for 0 the kind's default. A kind of "" is ed25519, which has one size, so
// that bits have no meaning for it. The error says what is allowed instead.
func TemporaryKeyBits(kind string, bits int) (int, error) {
	switch kind {
	case "", "ed25519":
		return 256, nil
	case "rsa":
		switch {
		case bits == 0:
			return 4096, nil
		case bits < 1024 || bits > 16384:
			return 0, fmt.Errorf("an rsa key cannot have %d bits; use 1024 to 16384, best 3072 or more", bits)
		}
		return bits, nil
	case "ecdsa":
		switch {
		case bits == 0:
			return 521, nil
		case !slices.Contains([]int{256, 384, 521}, bits):
			return 0, fmt.Errorf("an ecdsa key cannot have %d bits; use 256, 384 or 521", bits)
		}
		return bits, nil
	case "dsa":
		return 0, fmt.Errorf("dsa keys are refused by every current SSH server; use ed25519, ecdsa or rsa")
	}
	return 0, fmt.Errorf("%q is not a type of SSH keys; use ed25519, ecdsa or rsa", kind)
}

// checkKeyPair finds settings of the temporary key pair that no key can have.
func (c *Connection) checkKeyPair(cfg cty.Value) diag.List {
	if !Known(cfg, "temporary_key_pair_type") || !Known(cfg, "temporary_key_pair_bits") {
		return nil
	}
	kind, bits := c.TemporaryKeyPairType, c.TemporaryKeyPairBits
	if _, err := TemporaryKeyBits(kind, 0); err != nil {
		return diag.At("temporary_key_pair_type", "Unusable key type", "%s.", sentence(err))
	}
	if _, err := TemporaryKeyBits(kind, bits); err != nil || bits < 0 {
		if err == nil {
			err = fmt.Errorf("a key cannot have %d bits", bits)
		}
		return diag.At("temporary_key_pair_bits", "Unusable key size", "%s.", sentence(err))
	}
	if bits != 0 && (kind == "" || kind == "ed25519") {
		return diag.WarnAt("temporary_key_pair_bits", "Size without meaning",
			"An ed25519 key has one size. Remove temporary_key_pair_bits, or set temporary_key_pair_type to \"rsa\" or \"ecdsa\".")
	}
	return nil
}

// sentence is an error's text with a capital letter.
func sentence(err error) string {
	text := err.Error()
	if text[0] >= 'a' && text[0] <= 'z' {
		return string(text[0]-'a'+'A') + text[1:]
	}
	return text
}
