//go:build unix

package winrmd

import (
	"bytes"
	"context"
	"crypto/subtle"
	"net"
	"net/http"
	"slices"
)

type sessionKey struct{}

func (s *Server) newSession(ctx context.Context, _ net.Conn) context.Context {
	return context.WithValue(ctx, sessionKey{}, new(session))
}

const mutual = "http://schemas.dmtf.org/wbem/wsman/1/wsman/secprofile/https/mutual"

// login checks who sends the request, and answers it when that is not known. It
// returns the body in the clear.
func (s *Server) login(w http.ResponseWriter, r *http.Request, body []byte) ([]byte, bool) {
	if r.TLS != nil && len(s.cfg.ClientCert) > 0 && r.Header.Get("Authorization") == mutual {
		if len(r.TLS.PeerCertificates) > 0 && bytes.Equal(r.TLS.PeerCertificates[0].Raw, s.cfg.ClientCert) {
			return body, true
		}
	}
	if slices.Contains(s.cfg.Offers, "Negotiate") {
		clear, known, answered := s.loginNTLM(w, r, body)
		if known || answered {
			return clear, known
		}
	}
	user, password, ok := r.BasicAuth()
	if ok && slices.Contains(s.cfg.Offers, "Basic") &&
		subtle.ConstantTimeCompare([]byte(user+"\x00"+password), []byte(s.cfg.User+"\x00"+s.cfg.Password)) == 1 {
		return body, true
	}
	s.mu.Lock()
	s.logins++
	s.mu.Unlock()
	for _, o := range s.cfg.Offers {
		if o == "Basic" {
			o = `Basic realm="WSMAN"`
		}
		w.Header().Add("WWW-Authenticate", o)
	}
	w.WriteHeader(http.StatusUnauthorized)
	return nil, false
}

// seal makes the answer's body: encrypted when the request was.
func (s *Server) seal(r *http.Request, body []byte) ([]byte, string) {
	c, _ := r.Context().Value(sessionKey{}).(*session)
	c.mu.Lock()
	sealed := c.sealed
	c.mu.Unlock()
	if !sealed {
		return body, "application/soap+xml;charset=UTF-8"
	}
	return c.pack(body), sealedType
}
