package dockerengine

import (
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestTLS(t *testing.T) {
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Api-Version", "1.41")
		w.Header().Set("Ostype", "linux")
	}))
	defer server.Close()
	host := "tcp://" + strings.TrimPrefix(server.URL, "https://")
	certs := t.TempDir()
	write(t, certs+"/ca.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})))

	for name, k := range map[string]struct {
		env map[string]string
		ok  bool
	}{
		"verified":       {map[string]string{"DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": certs}, true},
		"not verified":   {map[string]string{"DOCKER_TLS": "1", "DOCKER_CERT_PATH": t.TempDir()}, true},
		"without TLS":    {nil, false},
		"another server": {map[string]string{"DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": otherCA(t)}, false},
	} {
		pairs := map[string]string{"DOCKER_HOST": host, "DOCKER_CONFIG": t.TempDir()}
		for n, v := range k.env {
			pairs[n] = v
		}
		e, err := Open(env(pairs), nil)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		p, err := e.Negotiate(t.Context())
		if (err == nil) != k.ok || k.ok && p.OSType != "linux" {
			t.Errorf("%s: %+v, %v", name, p, err)
		}
		if k.ok && e.ClientVersion() != "1.41" {
			t.Errorf("%s: agreed on %s", name, e.ClientVersion())
		}
		again, err := FromAttrs(e.Endpoint.Attrs(nil), env(nil))
		if again.Origin = e.Endpoint.Origin; err != nil || again != e.Endpoint {
			t.Errorf("%s: from attributes %+v, %v", name, again, err)
		}
	}
}

// otherCA is a folder with a certificate that has nothing to do with the
// server.
func otherCA(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	write(t, dir+"/ca.pem", `-----BEGIN CERTIFICATE-----
MIIBtjCCAVugAwIBAgITBmyf1XSXNmY/Owua2eiedgPySjAKBggqhkjOPQQDAjA5
MQswCQYDVQQGEwJVUzEPMA0GA1UEChMGQW1hem9uMRkwFwYDVQQDExBBbWF6b24g
Um9vdCBDQSAzMB4XDTE1MDUyNjAwMDAwMFoXDTQwMDUyNjAwMDAwMFowOTELMAkG
A1UEBhMCVVMxDzANBgNVBAoTBkFtYXpvbjEZMBcGA1UEAxMQQW1hem9uIFJvb3Qg
Q0EgMzBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABCmXp8ZBf8ANm+gBG1bG8lKl
ui2yEujSLtf6ycXYqm0fc4E7O5hrOXwzpcVOho6AF2hiRVd9RFgdszflZwjrZt6j
QjBAMA8GA1UdEwEB/wQFMAMBAf8wDgYDVR0PAQH/BAQDAgGGMB0GA1UdDgQWBBSr
ttvXBp43rDCGB5Fwx5zEGbF4wDAKBggqhkjOPQQDAgNJADBGAiEA4IWSoxe3jfkr
BqWTrBqYaGFy+uGh0PsceGCmQ5nFuMQCIQCcAu/xlJyzlvnrxir4tiz+OpAUFteM
YyRIHN8wfdVoOw==
-----END CERTIFICATE-----
`)
	return dir
}
