package funcs

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"sync"
	"testing"

	"github.com/google/uuid"
	"github.com/zclconf/go-cty/cty"
	"golang.org/x/crypto/bcrypt"
	"golang.org/x/crypto/ssh"
)

var cryptoCases = map[string][]evalCase{
	"bcrypt": {
		{`bcrypt("a", 1, 2)`, `error: at most one cost`},
		{`bcrypt("a", 32)`, `error: cost 32 is more than 31`},
		{`bcrypt("a", 4.5)`, `error: 4.5 is not a whole number`},
		{`bcrypt(join("", [for i in range(73) : "x"]), 4)`, `error: 72 bytes`},
	},
	"md5":    {{`md5("hello")`, `"5d41402abc4b2a76b9719d911017c592"`}, {`md5("")`, `"d41d8cd98f00b204e9800998ecf8427e"`}},
	"sha1":   {{`sha1("hello")`, `"aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d"`}},
	"sha256": {{`sha256("hello")`, `"2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"`}},
	"sha512": {
		{`sha512("hello")`, `"9b71d224bd62f3785d96d46ad3ea3d73319bfbc2890caadae2dff72519673ca72323c3d99ba5c11d7c7acc6e14b8c5da0c4663475c2e5c3adef46f73bcdec043"`},
	},
	"rsadecrypt": {
		{`rsadecrypt(rsa_ciphertext, rsa_key)`, `"grüße"`},
		{`rsadecrypt(rsa_ciphertext, rsa_key_pkcs8)`, `"grüße"`},
		{`rsadecrypt(rsa_binary, rsa_key)`, `error: not valid UTF-8`},
		{`rsadecrypt("!", rsa_key)`, `error: "!" is not valid Base64`},
		{`rsadecrypt("YQ==", rsa_key)`, `error: cannot decrypt the ciphertext with this key`},
		{`rsadecrypt(rsa_ciphertext, "nonsense")`, `error: cannot read the private key`},
		{`rsadecrypt(rsa_ciphertext, ec_key)`, `error: not an RSA key`},
		{`rsadecrypt(rsa_ciphertext, rsa_key_locked)`, `error: the private key has a passphrase`},
	},
	"uuidv4": {{`uuidv4() == uuidv4()`, `false`}, {`length(uuidv4())`, `36`}},
	"uuidv5": {
		{`uuidv5("dns", "python.org")`, `"886313e1-3b8a-5372-9b90-0c9aee199e5d"`},
		{`uuidv5("6ba7b810-9dad-11d1-80b4-00c04fd430c8", "python.org")`, `"886313e1-3b8a-5372-9b90-0c9aee199e5d"`},
		{`uuidv5("url", "https://x.org")`, `"f9eb845b-d2e9-580a-a742-8e28406efc0b"`},
		{`uuidv5("oid", "1.2")`, `"b4fe3335-a2ae-5c75-889c-b1247a0f6f02"`},
		{`uuidv5("x500", "cn=a")`, `"5c1fcbd6-0ab9-5b0d-9d61-5bcbb36ee6d0"`},
		{`uuidv5("DNS", "x")`, `error: namespace "DNS" is neither`},
	},
}

func TestBcryptVerifies(t *testing.T) {
	f := Table(Env{})["bcrypt"]
	for _, c := range []struct {
		args []cty.Value
		cost int
	}{
		{nil, 10},
		{[]cty.Value{cty.NumberIntVal(5)}, 5},
		{[]cty.Value{cty.NumberIntVal(4)}, 4},
		{[]cty.Value{cty.NumberIntVal(3)}, 10},
		{[]cty.Value{cty.NumberIntVal(-1)}, 10},
	} {
		got, err := f.Call(append([]cty.Value{cty.StringVal("päss")}, c.args...))
		if err != nil {
			t.Fatal(err)
		}
		hashed := []byte(got.AsString())
		if err := bcrypt.CompareHashAndPassword(hashed, []byte("päss")); err != nil {
			t.Error(err)
		}
		if cost, err := bcrypt.Cost(hashed); err != nil || cost != c.cost {
			t.Errorf("cost %d, error %v, want %d", cost, err, c.cost)
		}
	}
}

func TestUUIDVersions(t *testing.T) {
	table := Table(Env{})
	for name, version := range map[string]uuid.Version{`uuidv4()`: 4, `uuidv5("dns", "a")`: 5} {
		got, err := eval(table, name)
		if err != nil {
			t.Fatal(err)
		}
		if id, err := uuid.Parse(got.AsString()); err != nil || id.Version() != version {
			t.Errorf("%s = %s: version %d, error %v", name, got.AsString(), id.Version(), err)
		}
	}
}

type rsaFixture struct{ pkcs1, pkcs8, locked, ec, ciphertext, binary string }

// rsaFixtures makes keys once: a key in the repository would set off every secret scanner.
var rsaFixtures = sync.OnceValue(func() rsaFixture {
	key := must(rsa.GenerateKey(rand.Reader, 2048))
	ecKey := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	encode := func(kind string, der []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	encrypt := func(s string) string {
		//lint:ignore SA1019 what rsadecrypt decrypts
		return base64.StdEncoding.EncodeToString(must(rsa.EncryptPKCS1v15(rand.Reader, &key.PublicKey, []byte(s))))
	}
	return rsaFixture{
		pkcs1:      encode("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(key)),
		pkcs8:      encode("PRIVATE KEY", must(x509.MarshalPKCS8PrivateKey(key))),
		locked:     string(pem.EncodeToMemory(must(ssh.MarshalPrivateKeyWithPassphrase(key, "", []byte("locked"))))),
		ec:         encode("EC PRIVATE KEY", must(x509.MarshalECPrivateKey(ecKey))),
		ciphertext: encrypt("grüße"),
		binary:     encrypt("\xff\xfe"),
	}
})

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
