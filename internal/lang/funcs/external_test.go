package funcs

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"
)

var externalCases = map[string][]evalCase{
	"vault": {
		{`vault("secret/data/web", "user")`, `"admin"`},
		{`vault("secret/data/web", "port")`, `"8443"`},
		{`vault("secret/data/web", "tls")`, `"true"`},
		{`vault("kv1/web", "user")`, `"old"`},
		{`vault("kv1/odd", "data")`, `"a field of this name"`},
		{`vault("secret/data/web", "none")`, `error: the secret at "secret/data/web" has no field "none"; it has "hosts", "nothing", "port", "tls", "user"`},
		{`vault("secret/data/web", "nothing")`, `error: has no field "nothing"`},
		{`vault("secret/data/web", "hosts")`, `error: field "hosts" of the secret at "secret/data/web" is a list`},
		{`vault("elsewhere", "x")`, `error: read "elsewhere": not found`},
		{`vault(null, "x")`, `error: must not be null`},
	},
	"consul_key": {
		{`consul_key("app/color")`, `"red"`},
		{`consul_key("app/empty")`, `error: consul: key "app/empty" has an empty value`},
		{`consul_key("app/none")`, `error: consul: read key "app/none": not found`},
	},
	"aws_parameterstore": {
		{`aws_parameterstore("/app/color")`, `"red"`},
		{`aws_parameterstore("/app/secret")`, `"hush"`},
		{`aws_parameterstore("/app/secret", true)`, `"hush"`},
		{`aws_parameterstore("/app/secret", false)`, `"AQICA=="`},
		{`aws_parameterstore("/app/none")`, `error: aws parameter store: read parameter "/app/none": not found`},
		{`aws_parameterstore("a", true, true)`, `error: at most one with_decryption, not 3 arguments`},
		{`aws_parameterstore("a", "maybe")`, `error: a bool is required`},
		{`aws_parameterstore(null)`, `error: must not be null`},
		{`aws_parameterstore(unknown_string)`, `unknown_string`},
	},
	"aws_secretsmanager": {
		{`aws_secretsmanager("db", "user")`, `"admin"`},
		{`aws_secretsmanager("db", "port")`, `"5432"`},
		{`aws_secretsmanager("one", null)`, `"only"`},
		{`aws_secretsmanager("one", "")`, `"only"`},
		{`aws_secretsmanager("plain", null)`, `"just text"`},
		{`aws_secretsmanager("plain", "user")`, `"just text"`},
		{`aws_secretsmanager("db", null)`, `error: secret "db" has 2 fields, so one of them must be named: "port", "user"`},
		{`aws_secretsmanager("db", "none")`, `error: secret "db" has no field "none"; it has "port", "user"`},
		{`aws_secretsmanager("absent", null)`, `error: aws secrets manager: read secret "absent": not found`},
		{`aws_secretsmanager("db")`, `error: Not enough function arguments`},
	},
	"aws_secretsmanager_raw": {
		{`aws_secretsmanager_raw("plain")`, `"just text"`},
		{`aws_secretsmanager_raw("one")`, `"{\"k\": \"only\"}"`},
		{`aws_secretsmanager_raw("absent")`, `error: read secret "absent": not found`},
	},
}

var fakeVault = vaultFunc(func(_ context.Context, path string) (map[string]any, error) {
	switch path {
	case "secret/data/web":
		return map[string]any{"metadata": map[string]any{}, "data": map[string]any{
			"user": "admin", "port": json.Number("8443"), "tls": true, "hosts": []any{"a"}, "nothing": nil,
		}}, nil
	case "kv1/web":
		return map[string]any{"user": "old"}, nil
	case "kv1/odd":
		return map[string]any{"data": "a field of this name"}, nil
	}
	return nil, errFakeMissing
})

var fakeConsul = consulFunc(func(_ context.Context, key string) (string, error) {
	switch key {
	case "app/color":
		return "red", nil
	case "app/empty":
		return "", nil
	}
	return "", errFakeMissing
})

var fakeParameters = parametersFunc(func(_ context.Context, name string, decrypt bool) (string, error) {
	switch {
	case name == "/app/color":
		return "red", nil
	case name == "/app/secret" && decrypt:
		return "hush", nil
	case name == "/app/secret":
		return "AQICA==", nil
	}
	return "", errFakeMissing
})

var fakeSecrets = secretsFunc(func(_ context.Context, name string) (string, error) {
	switch name {
	case "db":
		return `{"user": "admin", "port": 5432}`, nil
	case "one":
		return `{"k": "only"}`, nil
	case "plain":
		return "just text", nil
	}
	return "", errFakeMissing
})

func TestJSONField(t *testing.T) {
	for _, c := range []struct{ secret, key, want, wantErr string }{
		{`{"n": 12345678901234567890}`, "", "12345678901234567890", ""},
		{`{"n": 1.5e3}`, "n", "1500", ""},
		{`{"n": 2.7}`, "n", "3", ""},
		{`{"n": 1e999999999}`, "n", "1e999999999", ""},
		{`{"n": -0.4}`, "n", "-0", ""},
		{`{"b": true}`, "", "true", ""},
		{`{"": "empty name"}`, "", "empty name", ""},
		{`[1, 2]`, "k", "[1, 2]", ""},
		{`"text"`, "", `"text"`, ""},
		{`null`, "k", "null", ""},
		{`{"a": 1} trailing`, "a", `{"a": 1} trailing`, ""},
		{``, "", "", ""},
		{`{}`, "", "", "has 0 fields, so one of them must be named: none"},
		{`{"o": {"secret": "hidden"}}`, "", "", `cannot be used: field "o" is an object, not a text`},
		{`{"z": null}`, "z", "", `cannot be used: field "z" is null`},
	} {
		got, err := jsonField(c.secret, c.key)
		if got != c.want || errorText(err) != c.wantErr {
			t.Errorf("jsonField(%s, %q) = %q, %v; want %q, %q", c.secret, c.key, got, err, c.want, c.wantErr)
		}
	}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestReadersThatAreMissing(t *testing.T) {
	runCases(t, Table(Env{}), map[string][]evalCase{"missing": {
		{`vault("a", "b")`, `error: vault cannot be used here`},
		{`consul_key("a")`, `error: consul cannot be used here`},
		{`aws_secretsmanager("a", null)`, `error: aws secrets manager cannot be used here`},
		{`aws_secretsmanager_raw("a")`, `error: aws secrets manager cannot be used here`},
		{`aws_parameterstore("a")`, `error: aws parameter store cannot be used here`},
	}})
}

// Ensure a reader that never answers is given up, and that the message says how long it had.
func TestNetworkTimeout(t *testing.T) {
	hang := func(ctx context.Context) error {
		<-ctx.Done()
		return ctx.Err()
	}
	env := Env{
		NetworkTimeout: time.Millisecond,
		Vault:          vaultFunc(func(ctx context.Context, _ string) (map[string]any, error) { return nil, hang(ctx) }),
		Consul:         consulFunc(func(ctx context.Context, _ string) (string, error) { return "", hang(ctx) }),
		Secrets:        secretsFunc(func(ctx context.Context, _ string) (string, error) { return "", hang(ctx) }),
	}
	runCases(t, Table(env), map[string][]evalCase{"timeout": {
		{`vault("a", "b")`, `error: vault did not answer within 1ms`},
		{`consul_key("a")`, `error: consul did not answer within 1ms`},
		{`aws_secretsmanager_raw("a")`, `error: aws secrets manager did not answer within 1ms`},
	}})
}

// Ensure a cancelled run ends a call, with the reason of the cancellation.
func TestNetworkCancellation(t *testing.T) {
	reason := errors.New("interrupted by the user")
	ctx, cancel := context.WithCancelCause(context.Background())
	env := Env{Context: ctx, Consul: consulFunc(func(ctx context.Context, _ string) (string, error) {
		cancel(reason)
		<-ctx.Done()
		return "", ctx.Err()
	})}
	_, err := eval(Table(env), `consul_key("a")`)
	if err == nil || !strings.Contains(err.Error(), reason.Error()) {
		t.Errorf("got error %v, want one with %q", err, reason)
	}
}
