package funcs

import (
	"context"
	"encoding/json"
	"net/http"
	"testing"
	"time"
)

// fakeParameterStore answers GetParameter.
func fakeParameterStore(w http.ResponseWriter, target string, body []byte) {
	var input struct {
		Name           string
		WithDecryption *bool
	}
	if err := json.Unmarshal(body, &input); err != nil || target != "AmazonSSM.GetParameter" || input.WithDecryption == nil {
		refuse(w, "ValidationException", "unexpected request "+string(body))
		return
	}
	value := map[string]string{"/app/color": "red", "/app/color:1": "blue", "/app/empty": "", "/app/secret": "AQICA=="}
	if *input.WithDecryption {
		value["/app/secret"] = "hush"
	}
	text, ok := value[input.Name]
	switch {
	case input.Name == "/app/forbidden":
		refuse(w, "AccessDeniedException", "User is not authorized to perform: ssm:GetParameter")
	case input.Name == "/app/odd":
		_, _ = w.Write([]byte(`{}`))
	case !ok:
		// This service sends the type alone.
		w.WriteHeader(http.StatusBadRequest)
		_, _ = w.Write([]byte(`{"__type":"ParameterNotFound"}`))
	default:
		_ = json.NewEncoder(w).Encode(map[string]any{"Parameter": map[string]any{"Name": input.Name, "Value": text, "Version": 2}})
	}
}

func TestParameterStore(t *testing.T) {
	for _, token := range []string{"", "session"} {
		service := &fakeAWS{keyID: "AKID", secret: "hush", token: token, region: "eu-west-1", service: "ssm", answer: fakeParameterStore}
		env := awsVars(t, service)
		good := ParameterStoreFromEnv(vars(append(env, "AWS_SECRET_ACCESS_KEY", "hush")...), time.Now)
		bad := ParameterStoreFromEnv(vars(append(env, "AWS_SECRET_ACCESS_KEY", "wrong")...), time.Now)
		runCases(t, Table(Env{Parameters: good}), map[string][]evalCase{"good": {
			{`aws_parameterstore("/app/color")`, `"red"`},
			{`aws_parameterstore("/app/color:1")`, `"blue"`},
			{`aws_parameterstore("/app/empty")`, `""`},
			{`aws_parameterstore("/app/secret")`, `"hush"`},
			{`aws_parameterstore("/app/secret", false)`, `"AQICA=="`},
			{`aws_parameterstore("/app/none")`, `error: read parameter "/app/none": http status 400: ParameterNotFound (check the name, and that it is in the region eu-west-1)`},
			{`aws_parameterstore("/app/forbidden")`, `error: has to be allowed to read it`},
			{`aws_parameterstore("/app/odd")`, `error: it has no value`},
		}})
		runCases(t, Table(Env{Parameters: bad}), map[string][]evalCase{"bad": {
			{`aws_parameterstore("/app/color")`, `error: (check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN)`},
		}})
	}
}

// Ensure that a service that throttles is asked again, with a request that is whole and signed again.
func TestAWSThrottling(t *testing.T) {
	for _, c := range []struct {
		busy  int64
		kind  string
		waits int
		fails bool
	}{
		{2, "ThrottlingException", 2, false},
		{1, "com.amazonaws.ssm#TooManyRequestsException", 1, false},
		{9, "ThrottlingException", attempts - 1, true},
		{1, "InternalServerError", 0, true}, // with status 400 it is not one
	} {
		service := &fakeAWS{keyID: "AKID", secret: "hush", region: "eu-west-1", service: "ssm", answer: fakeParameterStore, busyType: c.kind}
		service.busy.Store(c.busy)
		env := vars(append(awsVars(t, service), "AWS_SECRET_ACCESS_KEY", "hush")...)
		client := ParameterStoreFromEnv(env, time.Now).(parameterStoreClient)
		wait := &pauses{}
		client.wait = wait
		value, err := client.Parameter(context.Background(), "/app/color", true)
		if (err != nil) != c.fails || err == nil && value != "red" || wait.n != c.waits {
			t.Errorf("%s: %q after %d waits, want %d; error %v", c.kind, value, wait.n, c.waits, err)
		}
	}
}

func TestParameterStoreEndpoint(t *testing.T) {
	for _, c := range []struct {
		env          Lookup
		region, want string
	}{
		{vars(), "eu-west-1", "https://ssm.eu-west-1.amazonaws.com/"},
		{vars(), "cn-north-1", "https://ssm.cn-north-1.amazonaws.com.cn/"},
		{vars("AWS_ENDPOINT_URL", "http://a", "AWS_ENDPOINT_URL_SSM", "http://b"), "eu-west-1", "http://b/"},
	} {
		got, err := ParameterStoreFromEnv(c.env, time.Now).(parameterStoreClient).endpoint(c.region)
		if err != nil || got != c.want {
			t.Errorf("endpoint in %s: %q, error %v, want %q", c.region, got, err, c.want)
		}
	}
}
