package funcs

import (
	"crypto/md5"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
	"golang.org/x/crypto/bcrypt"
	"golang.org/x/crypto/ssh"
)

func cryptoFuncs() map[string]function.Function {
	return map[string]function.Function{
		"bcrypt": bcryptFunc(),
		"md5":    digestFunc("MD5", md5.New),
		"rsadecrypt": stringFunc("Decrypts an RSA ciphertext with PKCS #1 v1.5 padding, whose content must be UTF-8 text.", rsaDecrypt,
			text("ciphertext", "The ciphertext in Base64."),
			text("privatekey", "The private key in PEM form, without a passphrase.")),
		"sha1":   digestFunc("SHA-1", sha1.New),
		"sha256": digestFunc("SHA-256", sha256.New),
		"sha512": digestFunc("SHA-512", sha512.New),
		"uuidv4": stringFunc("Returns a random UUID, a new one on each call.", uuidV4),
		"uuidv5": stringFunc("Returns the UUID that belongs to a name in a namespace, always the same one.", uuidV5,
			text("namespace", `"dns", "url", "oid", "x500" or a UUID.`),
			text("name", "The name within the namespace.")),
	}
}

func digestFunc(algorithm string, newHash func() hash.Hash) function.Function {
	return stringFunc("Returns the "+algorithm+" digest of the UTF-8 bytes of a string in lower-case hexadecimal.",
		func(args ...string) (string, error) {
			h := newHash()
			h.Write([]byte(args[0]))
			return hex.EncodeToString(h.Sum(nil)), nil
		}, text("str", "The string to digest."))
}

func bcryptFunc() function.Function {
	cost := number("cost", "The cost, at most 31; without it, and for less than 4, the cost is 10.")
	return function.New(&function.Spec{
		Description:  "Returns the bcrypt hash of a string of at most 72 bytes, with a new salt on each call.",
		Params:       []function.Parameter{text("str", "The string to hash.")},
		VarParam:     &cost,
		Type:         function.StaticReturnType(cty.String),
		RefineResult: notNull,
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			cost, err := bcryptCost(args)
			if err != nil {
				return cty.NilVal, err
			}
			hashed, err := bcrypt.GenerateFromPassword([]byte(args[0].AsString()), cost)
			if err != nil {
				return cty.NilVal, err
			}
			return cty.StringVal(string(hashed)), nil
		},
	})
}

// bcryptCost reads the optional cost, which follows the string.
func bcryptCost(args []cty.Value) (int, error) {
	switch len(args) {
	case 1:
		return bcrypt.DefaultCost, nil
	case 2:
	default:
		return 0, fmt.Errorf("bcrypt takes a string and at most one cost, not %d arguments", len(args))
	}
	cost, err := smallInt(args, 1)
	if err != nil {
		return 0, err
	}
	if cost < bcrypt.MinCost {
		return bcrypt.DefaultCost, nil
	}
	if cost > bcrypt.MaxCost {
		return 0, function.NewArgErrorf(1, "cost %d is more than %d", cost, bcrypt.MaxCost)
	}
	return cost, nil
}

// rsaDecrypt never puts a part of the key or of the content into its errors.
func rsaDecrypt(args ...string) (string, error) {
	ciphertext, err := decodeBase64Arg(args[0])
	if err != nil {
		return "", err
	}
	parsed, err := ssh.ParseRawPrivateKey([]byte(args[1]))
	if missing := (*ssh.PassphraseMissingError)(nil); errors.As(err, &missing) {
		return "", function.NewArgErrorf(1, "the private key has a passphrase, and only keys without one can be used")
	}
	if err != nil {
		return "", function.NewArgErrorf(1, "cannot read the private key: %w", err)
	}
	key, ok := parsed.(*rsa.PrivateKey)
	if !ok {
		return "", function.NewArgErrorf(1, "the private key is %T, not an RSA key", parsed)
	}
	//lint:ignore SA1019 the ciphertexts that templates hold (EC2 password data above all) come with this padding
	plain, err := rsa.DecryptPKCS1v15(nil, key, ciphertext)
	if err != nil {
		return "", fmt.Errorf("cannot decrypt the ciphertext with this key: %w", err)
	}
	if !utf8.Valid(plain) {
		return "", fmt.Errorf("cannot use the decrypted ciphertext: %w", errNotUTF8)
	}
	return string(plain), nil
}

func uuidV4(...string) (string, error) {
	id, err := uuid.NewRandom()
	if err != nil {
		return "", fmt.Errorf("random UUID: %w", err)
	}
	return id.String(), nil
}

func uuidV5(args ...string) (string, error) {
	space, err := uuidNamespace(args[0])
	if err != nil {
		return "", err
	}
	return uuid.NewSHA1(space, []byte(args[1])).String(), nil
}

func uuidNamespace(name string) (uuid.UUID, error) {
	switch name {
	case "dns":
		return uuid.NameSpaceDNS, nil
	case "url":
		return uuid.NameSpaceURL, nil
	case "oid":
		return uuid.NameSpaceOID, nil
	case "x500":
		return uuid.NameSpaceX500, nil
	}
	space, err := uuid.Parse(name)
	if err != nil {
		return uuid.UUID{}, function.NewArgErrorf(0, `namespace %q is neither "dns", "url", "oid", "x500" nor a UUID: %w`, name, err)
	}
	return space, nil
}
