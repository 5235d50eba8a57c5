package funcs

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// Ensure signatures equal those that AWS publishes for its signature test suite (get-vanilla, post-vanilla).
func TestSignMatchesPublishedVectors(t *testing.T) {
	creds := awsCredentials{keyID: "AKIDEXAMPLE", secret: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"}
	now := time.Date(2015, 8, 30, 12, 36, 0, 0, time.UTC)
	for method, signature := range map[string]string{
		"GET":  "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
		"POST": "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
	} {
		req := httptest.NewRequest(method, "https://example.amazonaws.com/", nil)
		creds.sign(req, nil, "us-east-1", "service", now)
		want := "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders=host;x-amz-date, Signature=" + signature
		if got := req.Header.Get("Authorization"); got != want {
			t.Errorf("%s:\n got %s\nwant %s", method, got, want)
		}
	}
}

// fakeAWS checks the signature of a request on its own, and lets the service answer.
type fakeAWS struct {
	keyID, secret, token, region, service string
	// busy is how many requests are refused first, with this type of error.
	busy     atomic.Int64
	busyType string
	answer   func(w http.ResponseWriter, target string, body []byte)
}

func (f *fakeAWS) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if f.busy.Add(-1) >= 0 {
		refuse(w, f.busyType, "Rate exceeded")
		return
	}
	body, err := io.ReadAll(r.Body)
	if err == nil {
		err = f.verify(r, body)
	}
	if err != nil {
		refuse(w, "InvalidSignatureException", err.Error())
		return
	}
	f.answer(w, r.Header.Get("X-Amz-Target"), body)
}

// fakeSecretsManager answers GetSecretValue.
type fakeSecretsManager map[string]string

func (f fakeSecretsManager) answer(w http.ResponseWriter, target string, body []byte) {
	var input struct{ SecretId, VersionStage string }
	if err := json.Unmarshal(body, &input); err != nil || target != "secretsmanager.GetSecretValue" || input.VersionStage != "AWSCURRENT" {
		refuse(w, "ValidationException", "unexpected request "+string(body))
		return
	}
	value, ok := f[input.SecretId]
	if !ok {
		refuse(w, "com.amazonaws.secretsmanager#ResourceNotFoundException", "Secrets Manager can't find the specified secret.")
		return
	}
	reply := map[string]string{"Name": input.SecretId}
	if value == "binary" {
		reply["SecretBinary"] = "AAE="
	} else {
		reply["SecretString"] = value
	}
	_ = json.NewEncoder(w).Encode(reply)
}

func refuse(w http.ResponseWriter, kind, message string) {
	w.WriteHeader(http.StatusBadRequest)
	_ = json.NewEncoder(w).Encode(map[string]string{"__type": kind, "message": message})
}

// verify recomputes the signature from what arrived, by the published recipe and without the code under test.
func (f *fakeAWS) verify(r *http.Request, body []byte) error {
	var credential, signed, signature string
	fields := strings.NewReplacer(",", "").Replace(r.Header.Get("Authorization"))
	if _, err := fmt.Sscanf(fields, "AWS4-HMAC-SHA256 Credential=%s SignedHeaders=%s Signature=%s", &credential, &signed, &signature); err != nil {
		return fmt.Errorf("authorization %q: %w", fields, err)
	}
	date := r.Header.Get("X-Amz-Date")
	scope := date[:8] + "/" + f.region + "/" + f.service + "/aws4_request"
	if credential != f.keyID+"/"+scope {
		return fmt.Errorf("credential %q", credential)
	}
	if r.Header.Get("X-Amz-Security-Token") != f.token {
		return fmt.Errorf("token %q", r.Header.Get("X-Amz-Security-Token"))
	}
	wantSigned := "content-type;host;x-amz-date;x-amz-target"
	if f.token != "" {
		wantSigned = "content-type;host;x-amz-date;x-amz-security-token;x-amz-target"
	}
	if signed != wantSigned {
		return fmt.Errorf("signed headers %q", signed)
	}
	canonical := r.Method + "\n" + r.URL.EscapedPath() + "\n" + r.URL.RawQuery + "\n"
	for _, name := range strings.Split(signed, ";") {
		value := r.Header.Get(name)
		if name == "host" {
			value = r.Host
		}
		canonical += name + ":" + value + "\n"
	}
	canonical += "\n" + signed + "\n" + fmt.Sprintf("%x", sha256.Sum256(body))
	toSign := "AWS4-HMAC-SHA256\n" + date + "\n" + scope + "\n" + fmt.Sprintf("%x", sha256.Sum256([]byte(canonical)))
	mac := func(key, s string) string {
		h := hmac.New(sha256.New, []byte(key))
		h.Write([]byte(s))
		return string(h.Sum(nil))
	}
	key := mac(mac(mac(mac("AWS4"+f.secret, date[:8]), f.region), f.service), "aws4_request")
	if want := fmt.Sprintf("%x", mac(key, toSign)); signature != want {
		return fmt.Errorf("signature %s, want %s", signature, want)
	}
	return nil
}

func TestSecretsManager(t *testing.T) {
	secrets := fakeSecretsManager{"plain": "just text", "db": `{"user": "admin"}`, "bin": "binary", "empty": ""}
	for _, token := range []string{"", "session"} {
		service := &fakeAWS{keyID: "AKID", secret: "hush", token: token, region: "eu-west-1", service: "secretsmanager", answer: secrets.answer}
		env := awsVars(t, service)
		good := SecretsManagerFromEnv(vars(append(env, "AWS_SECRET_ACCESS_KEY", "hush")...), time.Now)
		bad := SecretsManagerFromEnv(vars(append(env, "AWS_SECRET_ACCESS_KEY", "wrong")...), time.Now)
		runCases(t, Table(Env{Secrets: good}), map[string][]evalCase{"good": {
			{`aws_secretsmanager_raw("plain")`, `"just text"`},
			{`aws_secretsmanager_raw("empty")`, `""`},
			{`aws_secretsmanager("db", "user")`, `"admin"`},
			{`aws_secretsmanager_raw("none")`, `error: read secret "none": http status 400: ResourceNotFoundException: Secrets Manager can't find the specified secret. (check the name, and that it is in the region eu-west-1)`},
			{`aws_secretsmanager_raw("bin")`, `error: the secret is binary`},
		}})
		runCases(t, Table(Env{Secrets: bad}), map[string][]evalCase{"bad": {
			{`aws_secretsmanager_raw("plain")`, `error: InvalidSignatureException`},
		}})
	}
}

// awsVars serves a service and returns the environment that leads to it, without AWS_SECRET_ACCESS_KEY.
func awsVars(t *testing.T, service *fakeAWS) []string {
	t.Helper()
	return []string{
		"AWS_ENDPOINT_URL", serve(t, service.ServeHTTP), "AWS_ACCESS_KEY_ID", service.keyID,
		"AWS_REGION", service.region, "AWS_SESSION_TOKEN", service.token,
	}
}

func TestSecretsManagerErrors(t *testing.T) {
	read := func(pairs ...string) error {
		client := SecretsManagerFromEnv(vars(pairs...), time.Now).(secretsManagerClient)
		client.wait = &pauses{}
		_, err := client.Secret(context.Background(), "x")
		return err
	}
	keys := []string{"AWS_ACCESS_KEY_ID", "a", "AWS_SECRET_ACCESS_KEY", "b"}
	with := func(pairs ...string) []string { return append(append([]string{}, keys...), pairs...) }
	wantError(t, read("AWS_REGION", "r"), "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not both set")
	wantError(t, read(keys...), "neither AWS_REGION nor AWS_DEFAULT_REGION is set")
	wantError(t, read(with("AWS_DEFAULT_REGION", "r", "AWS_ENDPOINT_URL", "nonsense")...), `endpoint "nonsense" is not the URL of a server`)
	wantError(t, read(with("AWS_REGION", "r", "AWS_ENDPOINT_URL", serve(t, answer(500, "")))...), "http status 500")
	wantError(t, read(with("AWS_REGION", "r", "AWS_ENDPOINT_URL", serve(t, answer(200, "nonsense")))...), "not what the service sends")
	redirect := serve(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
	})
	wantError(t, read(with("AWS_REGION", "r", "AWS_ENDPOINT_URL", redirect)...), "refusing a redirect of a signed request")
}

func TestSecretsManagerEndpoint(t *testing.T) {
	for _, c := range []struct {
		env    Lookup
		region string
		want   string
	}{
		{vars(), "eu-west-1", "https://secretsmanager.eu-west-1.amazonaws.com/"},
		{vars(), "cn-north-1", "https://secretsmanager.cn-north-1.amazonaws.com.cn/"},
		{vars("AWS_ENDPOINT_URL", "http://local:1/x"), "eu-west-1", "http://local:1/x"},
		{vars("AWS_ENDPOINT_URL", "http://a", "AWS_ENDPOINT_URL_SECRETS_MANAGER", "http://b"), "eu-west-1", "http://b/"},
	} {
		got, err := SecretsManagerFromEnv(c.env, time.Now).(secretsManagerClient).endpoint(c.region)
		if err != nil || got != c.want {
			t.Errorf("endpoint in %s: %q, error %v, want %q", c.region, got, err, c.want)
		}
	}
}
