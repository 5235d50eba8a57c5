package winrmd

import (
	"bytes"
	"context"
	"crypto/subtle"
	"net"
	"net/http"
	"slices"
)

// session is what the server knows of a connection.
type session struct{}

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

// seal makes the answer's body.
func (s *Server) seal(_ *http.Request, body []byte) ([]byte, string) {
	return body, "application/soap+xml;charset=UTF-8"
}
