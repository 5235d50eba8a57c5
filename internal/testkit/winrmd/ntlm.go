//go:build unix

package winrmd

import (
	"bytes"
	"crypto/hmac"
	"crypto/md5" //nolint:gosec // NTLM is made of it
	"crypto/rand"
	"crypto/rc4" //nolint:gosec // NTLM is made of it
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"unicode/utf16"

	//lint:ignore SA1019 NTLM is made of it
	"golang.org/x/crypto/md4" //nolint:gosec // as the line above
)

// session is what the server knows of a connection.
type session struct {
	mu        sync.Mutex // guards what follows
	challenge []byte
	in        bool // logged in
	toClient  *seal
	toServer  *seal
	sealed    bool // the last request was
}

// challengeFlags are those of the server: Unicode, NTLMv2 session security, and
// signing and sealing with 128 bits.
const challengeFlags = 0xE28A8235

// negotiate answers one message of an NTLM login. Done is true when the client is
// logged in.
func (s *session) negotiate(token []byte, user, password string) (answer []byte, done bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(token) < 12 || !bytes.HasPrefix(token, []byte("NTLMSSP\x00")) {
		return nil, false, errors.New("no NTLM message")
	}
	switch binary.LittleEndian.Uint32(token[8:]) {
	case 1:
		s.challenge = make([]byte, 8)
		_, _ = rand.Read(s.challenge) // never fails
		return challengeMessage(s.challenge), false, nil
	case 3:
		if s.challenge == nil {
			return nil, false, errors.New("no challenge was sent on this connection")
		}
		return nil, true, s.authenticate(token, user, password)
	}
	return nil, false, errors.New("unknown NTLM message")
}

func challengeMessage(challenge []byte) []byte {
	name := wide("TEST")
	var info bytes.Buffer
	pair := func(id uint16, value []byte) {
		_ = binary.Write(&info, binary.LittleEndian, []uint16{id, uint16(len(value))}) // a Buffer takes everything
		info.Write(value)
	}
	pair(2, name)
	pair(1, name)
	pair(7, []byte{0, 0x80, 0x3e, 0xd5, 0xde, 0xb1, 0x9d, 1}) // 1970; clocks need not agree
	pair(0, nil)
	var b bytes.Buffer
	b.WriteString("NTLMSSP\x00")
	le := func(v any) { _ = binary.Write(&b, binary.LittleEndian, v) } // as above
	le(uint32(2))
	le([]uint16{uint16(len(name)), uint16(len(name))})
	le(uint32(56))
	le(uint32(challengeFlags))
	b.Write(challenge)
	le(uint64(0))
	le([]uint16{uint16(info.Len()), uint16(info.Len())})
	le(uint32(56 + len(name)))
	b.Write([]byte{10, 0, 0x63, 0x45, 0, 0, 0, 15})
	b.Write(name)
	b.Write(info.Bytes())
	return b.Bytes()
}

// authenticate checks an NTLMv2 response.
func (s *session) authenticate(m []byte, user, password string) error {
	field := func(at int) []byte {
		if len(m) < at+8 {
			return nil
		}
		n, from := int(binary.LittleEndian.Uint16(m[at:])), int(binary.LittleEndian.Uint32(m[at+4:]))
		if from < 0 || from+n > len(m) {
			return nil
		}
		return m[from : from+n]
	}
	response, domain, name, key := field(20), narrow(field(28)), narrow(field(36)), field(52)
	if !strings.EqualFold(name, user) || len(response) < 32 || len(key) != 16 {
		return errors.New("unknown user, or no NTLMv2 response")
	}
	h := md4.New()
	_, _ = h.Write(wide(password)) // never fails
	owner := mac(h.Sum(nil), wide(strings.ToUpper(name)+domain))
	proof := mac(owner, s.challenge, response[16:])
	if !hmac.Equal(proof, response[:16]) {
		return errors.New("wrong password")
	}
	c, err := rc4.NewCipher(mac(owner, proof)) //nolint:gosec // NTLM is made of it
	if err != nil {
		return fmt.Errorf("session key: %w", err)
	}
	exported := make([]byte, 16)
	c.XORKeyStream(exported, key)
	if s.toClient, err = newSeal(exported, "server-to-client"); err != nil {
		return err
	}
	if s.toServer, err = newSeal(exported, "client-to-server"); err != nil {
		return err
	}
	s.in = true
	return nil
}

// seal is one direction of an encrypted connection.
type seal struct {
	key    []byte
	cipher *rc4.Cipher
	n      uint32
}

func newSeal(exported []byte, direction string) (*seal, error) {
	derived := func(what string) []byte {
		sum := md5.Sum([]byte(string(exported) + "session key to " + direction + " " + what + " key magic constant\x00")) //nolint:gosec // NTLM is made of it
		return sum[:]
	}
	c, err := rc4.NewCipher(derived("sealing")) //nolint:gosec // NTLM is made of it
	if err != nil {
		return nil, fmt.Errorf("sealing key: %w", err)
	}
	return &seal{key: derived("signing"), cipher: c}, nil
}

// signature is that of the next message, whose bytes have gone through the
// cipher already.
func (s *seal) signature(clear []byte) []byte {
	number := binary.LittleEndian.AppendUint32(nil, s.n)
	s.n++
	sum := mac(s.key, number, clear)[:8]
	s.cipher.XORKeyStream(sum, sum)
	return append(append([]byte{1, 0, 0, 0}, sum...), number...)
}

const (
	partHead   = "\tContent-Type: application/octet-stream\r\n"
	boundary   = "--Encrypted Boundary"
	sealedType = `multipart/encrypted;protocol="application/HTTP-SPNEGO-session-encrypted";boundary="Encrypted Boundary"`
)

// unseal decrypts a request.
func (s *session) unseal(body []byte) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, rest, ok := bytes.Cut(body, []byte(partHead))
	rest, whole := bytes.CutSuffix(rest, []byte(boundary+"--\r\n"))
	if !ok || !whole || len(rest) < 20 || binary.LittleEndian.Uint32(rest) != 16 {
		return nil, errors.New("not an encrypted message")
	}
	clear := make([]byte, len(rest)-20)
	s.toServer.cipher.XORKeyStream(clear, rest[20:])
	if !hmac.Equal(s.toServer.signature(clear), rest[4:20]) {
		return nil, errors.New("wrong signature")
	}
	return clear, nil
}

// pack encrypts an answer.
func (s *session) pack(clear []byte) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	sealed := make([]byte, len(clear))
	s.toClient.cipher.XORKeyStream(sealed, clear)
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s\r\n\tContent-Type: application/HTTP-SPNEGO-session-encrypted\r\n\tOriginalContent: type=application/soap+xml;charset=UTF-8;Length=%d\r\n%s\r\n%s",
		boundary, len(clear), boundary, partHead)
	b.Write([]byte{16, 0, 0, 0})
	b.Write(s.toClient.signature(clear))
	b.Write(sealed)
	b.WriteString(boundary + "--\r\n")
	return b.Bytes()
}

// loginNTLM answers requests that belong to a login with NTLM; known is true when
// the request needs no other login.
func (s *Server) loginNTLM(w http.ResponseWriter, r *http.Request, body []byte) (clear []byte, known, answered bool) {
	c, _ := r.Context().Value(sessionKey{}).(*session)
	encoded, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Negotiate ")
	if !ok {
		c.mu.Lock()
		in := c.in
		c.sealed = strings.HasPrefix(r.Header.Get("Content-Type"), "multipart/encrypted")
		sealed := c.sealed
		c.mu.Unlock()
		if !in || sealed == (r.TLS != nil) {
			return nil, false, false // Windows takes only what is encrypted, once
		}
		if !sealed {
			return body, true, false
		}
		clear, err := c.unseal(body)
		return clear, err == nil, false
	}
	token, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return nil, false, false
	}
	answer, done, err := c.negotiate(token, s.cfg.User, s.cfg.Password)
	switch {
	case err != nil:
		return nil, false, false
	case done:
		w.WriteHeader(http.StatusOK)
	default:
		w.Header().Set("WWW-Authenticate", "Negotiate "+base64.StdEncoding.EncodeToString(answer))
		w.WriteHeader(http.StatusUnauthorized)
	}
	return nil, false, true
}

func mac(key []byte, parts ...[]byte) []byte {
	h := hmac.New(md5.New, key)
	for _, p := range parts {
		_, _ = h.Write(p) // never fails
	}
	return h.Sum(nil)
}

func wide(text string) []byte {
	var b []byte
	for _, u := range utf16.Encode([]rune(text)) {
		b = binary.LittleEndian.AppendUint16(b, u)
	}
	return b
}

func narrow(b []byte) string {
	units := make([]uint16, len(b)/2)
	for i := range units {
		units[i] = binary.LittleEndian.Uint16(b[2*i:])
	}
	return string(utf16.Decode(units))
}
