package dockerengine

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/distribution/reference"
	"github.com/moby/moby/api/pkg/authconfig"
	"github.com/moby/moby/api/types/registry"
	"github.com/opencontainers/go-digest"
	"github.com/zclconf/go-cty/cty"

	"ingot/internal/component"
	"ingot/internal/retry"
)

func env(pairs map[string]string) Env { return func(name string) string { return pairs[name] } }

func write(t *testing.T, file, text string) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestFind(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/config.json", `{"currentContext":"far"}`)
	sum := digest.FromString("far").Encoded()
	write(t, dir+"/contexts/meta/"+sum+"/meta.json", `{"Name":"far","Endpoints":{"docker":{"Host":"tcp://far:2376","SkipTLSVerify":true}}}`)
	write(t, dir+"/contexts/tls/"+sum+"/docker/ca.pem", "x")
	odd := digest.FromString("odd").Encoded()
	write(t, dir+"/contexts/meta/"+odd+"/meta.json", `{"Name":"odd","Endpoints":{"kubernetes":{}}}`)

	for name, k := range map[string]struct {
		env  map[string]string
		want Endpoint
		err  string
	}{
		"nothing set":          {map[string]string{"HOME": t.TempDir()}, Endpoint{Host: "unix:///var/run/docker.sock", Origin: "default"}, ""},
		"host":                 {map[string]string{"DOCKER_HOST": "tcp://a:1", "DOCKER_CONFIG": dir, "DOCKER_CONTEXT": "far"}, Endpoint{Host: "tcp://a:1", Origin: "DOCKER_HOST"}, ""},
		"host with TLS":        {map[string]string{"DOCKER_HOST": "tcp://a:1", "DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": "/certs"}, Endpoint{Host: "tcp://a:1", CertDir: "/certs", Origin: "DOCKER_HOST"}, ""},
		"certificates at home": {map[string]string{"DOCKER_HOST": "tcp://a:1", "DOCKER_TLS_VERIFY": "1", "DOCKER_CONFIG": dir}, Endpoint{Host: "tcp://a:1", CertDir: dir, Origin: "DOCKER_HOST"}, ""},
		"current context":      {map[string]string{"DOCKER_CONFIG": dir}, Endpoint{Host: "tcp://far:2376", SkipVerify: true, CertDir: dir + "/contexts/tls/" + sum + "/docker", Origin: `context "far"`}, ""},
		"default context":      {map[string]string{"DOCKER_CONFIG": dir, "DOCKER_CONTEXT": "default"}, Endpoint{Host: "unix:///var/run/docker.sock", Origin: "default"}, ""},
		"missing context":      {map[string]string{"DOCKER_CONFIG": dir, "DOCKER_CONTEXT": "none"}, Endpoint{}, "docker context ls"},
		"context of another":   {map[string]string{"DOCKER_CONFIG": dir, "DOCKER_CONTEXT": "odd"}, Endpoint{}, "kubernetes"},
	} {
		got, err := Find(env(k.env))
		if k.err != "" {
			if err == nil || !strings.Contains(err.Error(), k.err) {
				t.Errorf("%s: got %v", name, err)
			}
			continue
		}
		if err != nil || got != k.want {
			t.Errorf("%s: got %+v, %v", name, got, err)
		}
		again, err := FromAttrs(got.Attrs(map[string]string{"more": "x"}), env(nil))
		if again.Origin = got.Origin; err != nil || again != got {
			t.Errorf("%s: from attributes: %+v, %v", name, again, err)
		}
	}
	write(t, dir+"/config.json", `{`)
	if _, err := Find(env(map[string]string{"DOCKER_CONFIG": dir})); err == nil || !strings.Contains(err.Error(), "config.json") {
		t.Errorf("broken configuration: %v", err)
	}
}

func FuzzContext(f *testing.F) {
	f.Add([]byte(`{"Endpoints":{"docker":{"Host":"tcp://x"}}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if e, err := parseContext(data); err == nil && e.Host == "" {
			t.Error("no host and no error")
		}
	})
}

func TestTLSNeedsCertificates(t *testing.T) {
	_, err := Open(env(map[string]string{"DOCKER_HOST": "tcp://127.0.0.1:1", "DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": t.TempDir()}), nil)
	if err == nil || !strings.Contains(err.Error(), "DOCKER_CERT_PATH") {
		t.Errorf("got %v", err)
	}
}

func TestParsePlatform(t *testing.T) {
	for text, want := range map[string]string{
		"linux/amd64": "linux/amd64/", "arm64": "linux/arm64/", "linux/arm/v7": "linux/arm/v7", "Linux/AArch64": "linux/arm64/",
		"x86_64": "linux/amd64/", "armhf": "linux/arm/v7", "a/b/c/d": "", "linux/": "", "a b": "", "linux/amd64,linux/arm64": "",
	} {
		p, err := ParsePlatform(text)
		if got := ""; err == nil {
			got = p.OS + "/" + p.Architecture + "/" + p.Variant
			if got != want {
				t.Errorf("%s: %s", text, got)
			}
		} else if want != "" {
			t.Errorf("%s: %v", text, err)
		}
	}
	if p, err := ParsePlatform(""); p != nil || err != nil {
		t.Errorf("empty: %v, %v", p, err)
	}
	if p, err := ParsePlatform("windows"); err != nil || p.OS != "windows" {
		t.Errorf("windows: %v, %v", p, err)
	}
}

func TestCredentials(t *testing.T) {
	dir := t.TempDir()
	auth := base64.StdEncoding.EncodeToString([]byte("stored:secret"))
	write(t, dir+"/config.json", fmt.Sprintf(`{"auths":{"reg.example:5000":{"auth":%q},"https://index.docker.io/v1/":{"auth":%q}},"credHelpers":{"helped.example":"ingottest"}}`, auth, auth))
	helper := write(t, dir+"/bin/docker-credential-ingottest", "#!/bin/sh\nread host\necho '{\"ServerURL\":\"'$host'\",\"Username\":\"helped\",\"Secret\":\"s\"}'\n")
	if err := os.Chmod(helper, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+"/bin:"+os.Getenv("PATH"))
	e := env(map[string]string{"DOCKER_CONFIG": dir})
	login := Login{Login: true, Username: "u", Password: "p"}
	elsewhere := login
	elsewhere.Server = "https://other.example/v1/"
	for _, k := range []struct {
		login               Login
		image, user, server string
	}{
		{Login{}, "reg.example:5000/a", "stored", "reg.example:5000"},
		{Login{}, "alpine", "stored", "https://index.docker.io/v1/"},
		{Login{}, "library/alpine:3", "stored", "https://index.docker.io/v1/"},
		{Login{}, "helped.example/a/b", "helped", "helped.example"},
		{Login{}, "unknown.example/a", "", ""},
		{login, "reg.example:5000/a", "u", "reg.example:5000"},
		{login, "alpine", "u", "https://index.docker.io/v1/"},
		{elsewhere, "alpine", "u", "https://other.example/v1/"},
	} {
		named, err := reference.ParseNormalizedNamed(k.image)
		if err != nil {
			t.Fatal(err)
		}
		text, err := k.login.Header(t.Context(), e, named)
		if err != nil {
			t.Fatalf("%s: %v", k.image, err)
		}
		a, err := authconfig.Decode(text)
		if err != nil || a.Username != k.user || a.ServerAddress != k.server {
			t.Errorf("%s: %+v, %v", k.image, a, err)
		}
	}
	all, err := elsewhere.All(t.Context(), e)
	if err != nil || all["other.example"].Username != "u" || all["reg.example:5000"].Username != "stored" {
		t.Errorf("all: %+v, %v", all, err)
	}
	if all, err = login.All(t.Context(), e); err != nil || all[dockerHub].Username != "u" {
		t.Errorf("all for the hub: %+v, %v", all, err)
	}
}

func TestECRNames(t *testing.T) {
	for server, want := range map[string]ecrRegistry{
		"https://123456789012.dkr.ecr.us-east-1.amazonaws.com/":     {host: "123456789012.dkr.ecr.us-east-1.amazonaws.com", region: "us-east-1"},
		"123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn":          {host: "123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn", region: "cn-north-1"},
		"123456789012.dkr-ecr.eu-west-1.on.aws":                     {host: "123456789012.dkr-ecr.eu-west-1.on.aws", region: "eu-west-1"},
		"public.ecr.aws/alias":                                      {host: "public.ecr.aws", region: "us-east-1", public: true},
		"docker.io":                                                 {},
		"evil.example/123456789012.dkr.ecr.us-east-1.amazonaws.com": {},
	} {
		got, err := parseECR(server, false)
		if got != want || (err == nil) != (want.host != "") {
			t.Errorf("%s: %+v, %v", server, got, err)
		}
	}
	if r, err := parseECR("whatever", true); err != nil || !r.public {
		t.Errorf("forced: %+v, %v", r, err)
	}
	r, _ := parseECR("123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn", false)
	if got := r.api(env(nil)); got != "https://api.ecr.cn-north-1.amazonaws.com.cn/" {
		t.Errorf("api %s", got)
	}
	p, _ := parseECR("public.ecr.aws", false)
	if got := p.api(env(nil)); got != "https://api.ecr-public.us-east-1.amazonaws.com/" {
		t.Errorf("public api %s", got)
	}
}

// fakeECR answers one call with a status and a body and keeps the request.
func fakeECR(t *testing.T, status int, body string) (Env, *http.Request) {
	seen := new(http.Request)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		*seen = *r
		sent, _ := io.ReadAll(r.Body)
		seen.Body = io.NopCloser(strings.NewReader(string(sent)))
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}))
	t.Cleanup(s.Close)
	t.Setenv("AWS_CONFIG_FILE", "/nonexistent")
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
	return env(map[string]string{"AWS_ENDPOINT_URL": s.URL, "DOCKER_CONFIG": t.TempDir()}), seen
}

func TestECRLogin(t *testing.T) {
	token := base64.StdEncoding.EncodeToString([]byte("AWS:pass:word"))
	private := Login{ECR: true, Server: "123456789012.dkr.ecr.eu-west-1.amazonaws.com", AWSAccessKey: "AKID", AWSSecretKey: "SECRET", AWSToken: "SESSION"}
	public := private
	public.Server = "public.ecr.aws/x"
	for _, k := range []struct {
		login                     Login
		body, target, scope, host string
	}{
		{private, `{"authorizationData":[{"authorizationToken":"` + token + `"}]}`, "AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken", "/eu-west-1/ecr/aws4_request", private.Server},
		{public, `{"authorizationData":{"authorizationToken":"` + token + `"}}`, "SpencerFrontendService.GetAuthorizationToken", "/us-east-1/ecr-public/aws4_request", "public.ecr.aws"},
	} {
		e, seen := fakeECR(t, 200, k.body)
		a, err := k.login.ecrCredentials(t.Context(), e)
		if err != nil {
			t.Fatal(err)
		}
		if want := (registry.AuthConfig{Username: "AWS", Password: "pass:word", ServerAddress: k.host}); a != want {
			t.Errorf("got %+v", a)
		}
		if seen.Header.Get("X-Amz-Target") != k.target || seen.Header.Get("X-Amz-Security-Token") != "SESSION" {
			t.Errorf("headers %v", seen.Header)
		}
		if auth := seen.Header.Get("Authorization"); !strings.Contains(auth, "Credential=AKID/") || !strings.Contains(auth, k.scope) {
			t.Errorf("signature %s", auth)
		}
	}
}

func TestECRRefusals(t *testing.T) {
	l := Login{ECR: true, Server: "123456789012.dkr.ecr.eu-west-1.amazonaws.com", AWSAccessKey: "AKID", AWSSecretKey: "SECRET"}
	for _, k := range []struct {
		status     int
		body, want string
		class      retry.Class
	}{
		{400, `{"__type":"com.amazonaws#UnrecognizedClientException","message":"token invalid"}`, "UnrecognizedClientException: token invalid", retry.Permission},
		{400, `{"__type":"ThrottlingException","message":"slow"}`, "slow", retry.Throttled},
		{503, `<html>`, "<html>", retry.Transient},
		{200, `{"authorizationData":[]}`, "no token", retry.Unclassified},
		{200, `{"authorizationData":[{"authorizationToken":"!"}]}`, "token", retry.Unclassified},
		{200, `nonsense`, "read the answer", retry.Unclassified},
	} {
		e, _ := fakeECR(t, k.status, k.body)
		_, err := l.ecrCredentials(t.Context(), e)
		if err == nil || !strings.Contains(err.Error(), k.want) || retry.ClassOf(err) != k.class {
			t.Errorf("%s: got %v, class %v", k.body, err, retry.ClassOf(err))
		}
		if err != nil && strings.Contains(err.Error(), "SECRET") {
			t.Errorf("the secret key is in the error: %v", err)
		}
	}
}

func FuzzECRToken(f *testing.F) {
	f.Add([]byte(`{"authorizationData":[{"authorizationToken":"QVdTOng="}]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		if a, err := parseECRToken(body); err == nil && a.Username == "" {
			t.Error("no user and no error")
		}
	})
}

func TestFollow(t *testing.T) {
	stream := `{"status":"Pulling from library/x","id":"latest"}
{"status":"Pulling fs layer","progressDetail":{},"id":"aaa"}
{"status":"Downloading","progressDetail":{"current":5,"total":10},"id":"aaa"}
{"status":"Download complete","progressDetail":{},"id":"aaa"}
{"status":"Pull complete","progressDetail":{},"id":"aaa"}
{"status":"Already exists","progressDetail":{},"id":"bbb"}
{"status":"Waiting","progressDetail":{},"id":"ccc"}
{"status":"Digest: sha256:abc"}
{"status":"Status: Downloaded newer image"}
{"progressDetail":{},"aux":{"Tag":"latest"}}
`
	var got []component.Progress
	sink := component.SinkFunc(func(e component.Event) { got = append(got, e.(component.Progress)) })
	out, err := Follow(sink, messages(strings.NewReader(stream)))
	if err != nil || out.Digest() != "sha256:abc" || len(out.Aux) != 1 {
		t.Errorf("outcome %+v, %v", out, err)
	}
	finished := map[string]component.Progress{}
	for _, p := range got {
		if _, twice := finished[p.ID]; twice {
			t.Errorf("%s goes on after its end", p.ID)
		}
		if p.Finished {
			finished[p.ID] = p
		}
	}
	if len(finished) != 3 || finished["aaa"].Done != 10 || finished["aaa"].Total != 10 {
		t.Errorf("finished %+v", finished)
	}
	_, err = Follow(sink, messages(strings.NewReader(`{"errorDetail":{"message":"denied"},"error":"denied"}`)))
	if err == nil || err.Error() != "denied" {
		t.Errorf("got %v", err)
	}
	if _, err = Follow(sink, messages(strings.NewReader(`{"status":"x"}{"sta`))); err == nil {
		t.Error("a stream that was cut is taken for a whole one")
	}
	if id, err := ImportedID(sink, strings.NewReader(`{"status":"Importing"}{"status":"sha256:123"}`)); err != nil || id != "sha256:123" {
		t.Errorf("imported %q, %v", id, err)
	}
}

func FuzzFollow(f *testing.F) {
	f.Add([]byte(`{"status":"Downloading","progressDetail":{"current":5,"total":10},"id":"a"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		_, _ = Follow(component.SinkFunc(func(component.Event) {}), messages(strings.NewReader(string(data))))
	})
}

func TestExplain(t *testing.T) {
	e := &Engine{Endpoint: Endpoint{Host: "unix:///x.sock", Origin: "default"}}
	dial := func(err error) error { return &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", err)} }
	for _, k := range []struct {
		err   error
		class retry.Class
		want  string
	}{
		{dial(syscall.ECONNREFUSED), retry.Transient, "check that it is running"},
		{dial(syscall.ENOENT), retry.Transient, "DOCKER_HOST"},
		{dial(syscall.EACCES), retry.Permission, "group"},
		{errors.New("Error response from daemon: toomanyrequests: slow down"), retry.Throttled, "do it: toomanyrequests"},
		{errors.New("pull access denied for x"), retry.Permission, "pull access denied"},
		{errors.New("write: no space left on device"), retry.Capacity, ""},
		{errors.New("Get https://x: net/http: TLS handshake timeout"), retry.Transient, ""},
		{errors.New("something else"), retry.Fatal, ""},
	} {
		got := e.Explain(t.Context(), "do it", k.err)
		if !errors.Is(got, k.err) || retry.ClassOf(got) != k.class || !strings.Contains(got.Error(), k.want) {
			t.Errorf("%v: got %v, class %v", k.err, got, retry.ClassOf(got))
		}
	}
	if e.Explain(t.Context(), "x", nil) != nil {
		t.Error("nil became an error")
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	stop := errors.New("the user stops")
	cancel(stop)
	if got := e.Explain(ctx, "x", context.Canceled); !errors.Is(got, stop) {
		t.Errorf("cancelled: %v", got)
	}
}

func TestChanges(t *testing.T) {
	good := []string{"USER a", "workdir /x", "ENV\tA=b", ` CMD ["a"]`, "STOPSIGNAL 9", "HEALTHCHECK NONE"}
	if d := CheckChanges("changes", good); len(d) > 0 {
		t.Errorf("good ones: %v", d[0])
	}
	for _, bad := range []string{"RUN x", "COPY a b", "CMD", "", "MAINTAINER x", "SHELL [\"a\"]"} {
		if d := CheckChanges("changes", []string{bad}); len(d) != 1 {
			t.Errorf("%q: %v", bad, d)
		}
	}
	if rest, who := Maintainer([]string{"USER a", "maintainer  A B"}); who != "A B" || !slices.Equal(rest, []string{"USER a"}) {
		t.Errorf("%q, %q", rest, who)
	}
}

func TestArtifacts(t *testing.T) {
	image := &component.Artifact{Producer: ProducerImport, ID: "sha256:1"}
	tagged := &component.Artifact{Producer: ProducerTag, ID: "a:2", Data: map[string]cty.Value{DataTags: TagData([]string{"a:1", "a:2"})}}
	if id, err := ImageOf("x", image); err != nil || id != "sha256:1" {
		t.Errorf("%q, %v", id, err)
	}
	if tags, err := Tags(tagged); err != nil || !slices.Equal(tags, []string{"a:1", "a:2"}) {
		t.Errorf("%q, %v", tags, err)
	}
	if _, err := Tags(image); err == nil || !strings.Contains(err.Error(), "docker-tag") {
		t.Errorf("an image without a name: %v", err)
	}
	file := &component.Artifact{Producer: "packer.file", Files: []component.File{{Path: "x"}}}
	if _, err := ImageOf("docker-tag", file); err == nil || !strings.Contains(err.Error(), "packer.file") {
		t.Errorf("a file: %v", err)
	}
	if _, err := TarOf("docker-import", file); err == nil || !strings.Contains(err.Error(), "packer.file") {
		t.Errorf("a file of another builder: %v", err)
	}
	two := &component.Artifact{Producer: ProducerBuilder, Files: []component.File{{Path: "x"}, {Path: "y"}}}
	for _, bad := range []*component.Artifact{nil, {Producer: ProducerBuilder}, two} {
		if _, err := TarOf("docker-import", bad); err == nil {
			t.Errorf("%+v was taken", bad)
		}
	}
	export := &component.Artifact{Producer: ProducerBuilder, Files: []component.File{{Path: "x"}}}
	if f, err := TarOf("docker-import", export); err != nil || f.Path != "x" {
		t.Errorf("%v, %v", f, err)
	}
}

func TestMark(t *testing.T) {
	changes := make([]string, 1, 2)
	changes[0] = "USER a"
	if comment, marked := Mark("", "tok", changes); comment != "tok" || len(marked) != 1 {
		t.Errorf("%q %q", comment, marked)
	}
	comment, marked := Mark("said", "tok", changes)
	if comment != "said" || len(marked) != 2 || !strings.Contains(marked[1], "=tok") {
		t.Errorf("%q %q", comment, marked)
	}
	if got := changes[:2][1]; got != "" {
		t.Errorf("wrote into the caller's list: %q", got)
	}
}
