package funcs

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"
)

// awsCredentials sign requests to AWS. The token is there for temporary credentials only.
type awsCredentials struct{ keyID, secret, token string }

// sign puts a Signature Version 4 into the headers of a request without a query. It covers the host and every header
// that the request has by then, so nothing may be added afterwards.
func (c awsCredentials) sign(req *http.Request, body []byte, region, service string, now time.Time) {
	stamp := now.UTC().Format("20060102T150405Z")
	day := stamp[:len("20060102")]
	req.Header.Set("X-Amz-Date", stamp)
	if c.token != "" {
		req.Header.Set("X-Amz-Security-Token", c.token)
	}
	canonical, signedHeaders := canonicalRequest(req, body)
	scope := strings.Join([]string{day, region, service, "aws4_request"}, "/")
	toSign := strings.Join([]string{"AWS4-HMAC-SHA256", stamp, scope, sha256Hex([]byte(canonical))}, "\n")

	key := []byte("AWS4" + c.secret)
	for _, part := range []string{day, region, service, "aws4_request"} {
		key = hmacSHA256(key, part)
	}
	req.Header.Set("Authorization", fmt.Sprintf("AWS4-HMAC-SHA256 Credential=%s/%s, SignedHeaders=%s, Signature=%s",
		c.keyID, scope, signedHeaders, hex.EncodeToString(hmacSHA256(key, toSign))))
}

// canonicalRequest is the text that a signature stands for, and the names of the headers in it.
func canonicalRequest(req *http.Request, body []byte) (canonical, signedHeaders string) {
	headers := map[string]string{"host": req.URL.Host}
	for name, values := range req.Header {
		headers[strings.ToLower(name)] = strings.TrimSpace(strings.Join(values, ","))
	}
	names := slices.Sorted(maps.Keys(headers))
	signedHeaders = strings.Join(names, ";")

	lines := []string{req.Method, req.URL.EscapedPath(), ""}
	for _, name := range names {
		lines = append(lines, name+":"+headers[name])
	}
	lines = append(lines, "", signedHeaders, sha256Hex(body))
	return strings.Join(lines, "\n"), signedHeaders
}

func sha256Hex(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

func hmacSHA256(key []byte, message string) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(message))
	return mac.Sum(nil)
}
