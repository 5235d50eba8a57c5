package funcs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strings"

	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
)

// VaultReader reads from HashiCorp Vault.
type VaultReader interface {
	// Read returns the "data" object of the reply to a read of path. Numbers in it are json.Number values.
	// A path at which there is nothing is an error.
	Read(ctx context.Context, path string) (map[string]any, error)
}

// ConsulReader reads from the key-value store of HashiCorp Consul.
type ConsulReader interface {
	// Value returns the value of a key. A key that does not exist is an error; an empty value is not.
	Value(ctx context.Context, key string) (string, error)
}

// SecretsReader reads from AWS Secrets Manager.
type SecretsReader interface {
	// Secret returns the text of the version of a secret that has the stage AWSCURRENT.
	Secret(ctx context.Context, name string) (string, error)
}

// ParametersReader reads from the parameter store in AWS Systems Manager.
type ParametersReader interface {
	// Parameter returns the value of a parameter; that of a SecureString is decrypted if asked for, else the ciphertext.
	Parameter(ctx context.Context, name string, decrypt bool) (string, error)
}

func externalFuncs(env Env) map[string]function.Function {
	key := text("key", "The field to take from a secret that is a JSON object; null if it has just one field.")
	key.AllowNull = true
	name := text("name", "The name or ARN of the secret.")
	return map[string]function.Function{
		"aws_parameterstore": env.parameterStoreFunc(),
		"aws_secretsmanager": newFunc("Returns the current value of a secret in AWS Secrets Manager: a field of it if it is a JSON object, else all of it.",
			cty.String, env.secretField, name, key),
		"aws_secretsmanager_raw": stringFunc("Returns the current value of a secret in AWS Secrets Manager as it stands.",
			func(args ...string) (string, error) { return env.secret(args[0]) }, name),
		"consul_key": stringFunc("Returns the value of a key in Consul; a missing key and an empty value are errors.",
			func(args ...string) (string, error) { return env.consulKey(args[0]) },
			text("key", "The key.")),
		"vault": stringFunc("Returns one field of a secret in the key-value store of Vault, version 2 or 1.",
			func(args ...string) (string, error) { return env.vaultField(args[0], args[1]) },
			text("path", "The path as the HTTP API has it: for version 2 of the store with data/ after the mount, such as secret/data/web."),
			text("key", "The field of the secret.")),
	}
}

// network calls read with a context that has a deadline. Of a call that ran out of time the error says so, and how much
// it had.
func (e Env) network(service string, read func(context.Context) error) error {
	late := fmt.Errorf("%s did not answer within %s", service, e.NetworkTimeout)
	ctx, cancel := context.WithTimeoutCause(e.Context, e.NetworkTimeout, late)
	defer cancel()
	err := read(ctx)
	if cause := context.Cause(ctx); err != nil && cause != nil && !errors.Is(err, cause) {
		return fmt.Errorf("%w: %w", cause, err)
	}
	return err
}

func (e Env) vaultField(path, key string) (string, error) {
	if e.Vault == nil {
		return "", errors.New("vault cannot be used here")
	}
	var data map[string]any
	err := e.network("vault", func(ctx context.Context) (err error) {
		data, err = e.Vault.Read(ctx, path)
		return err
	})
	if err != nil {
		return "", fmt.Errorf("read %q: %w", path, err)
	}
	field, fields := kvField(data, key)
	if field == nil {
		return "", function.NewArgErrorf(1, "the secret at %q has no field %q; it has %s", path, key, quotedList(fields))
	}
	value, err := scalarText(field)
	if err != nil {
		return "", function.NewArgErrorf(1, "field %q of the secret at %q %w", key, path, err)
	}
	return value, nil
}

// kvField finds a field of a Vault secret. Version 2 of the store wraps the fields into one more "data" object; version
// 1 has them directly, and may itself have a field of the name "data". The names are those of the fields there are.
func kvField(data map[string]any, key string) (field any, names []string) {
	fields := data
	if wrapped, ok := data["data"].(map[string]any); ok {
		if wrapped[key] != nil {
			return wrapped[key], nil
		}
		fields = wrapped
	}
	return data[key], slices.Sorted(maps.Keys(fields))
}

func (e Env) consulKey(key string) (string, error) {
	if e.Consul == nil {
		return "", errors.New("consul cannot be used here")
	}
	var value string
	err := e.network("consul", func(ctx context.Context) (err error) {
		value, err = e.Consul.Value(ctx, key)
		return err
	})
	if err != nil {
		return "", fmt.Errorf("consul: read key %q: %w", key, err)
	}
	if value == "" {
		return "", function.NewArgErrorf(0, "consul: key %q has an empty value", key)
	}
	return value, nil
}

func (e Env) secret(name string) (string, error) {
	if e.Secrets == nil {
		return "", errors.New("aws secrets manager cannot be used here")
	}
	var value string
	err := e.network("aws secrets manager", func(ctx context.Context) (err error) {
		value, err = e.Secrets.Secret(ctx, name)
		return err
	})
	if err != nil {
		return "", fmt.Errorf("aws secrets manager: read secret %q: %w", name, err)
	}
	return value, nil
}

func (e Env) parameterStoreFunc() function.Function {
	decrypt := function.Parameter{
		Name: "with_decryption", Type: cty.Bool,
		Description: "Whether to decrypt a SecureString; true if it is left out.",
	}
	return function.New(&function.Spec{
		Description:  "Returns the value of a parameter in the parameter store of AWS Systems Manager.",
		Params:       []function.Parameter{text("name", "The name or ARN of the parameter, with :VERSION or :LABEL behind it for another than the newest version.")},
		VarParam:     &decrypt,
		Type:         function.StaticReturnType(cty.String),
		RefineResult: notNull,
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			if len(args) > 2 {
				return cty.NilVal, fmt.Errorf("aws_parameterstore takes a name and at most one with_decryption, not %d arguments", len(args))
			}
			value, err := e.parameter(args[0].AsString(), len(args) == 1 || args[1].True())
			if err != nil {
				return cty.NilVal, err
			}
			return cty.StringVal(value), nil
		},
	})
}

func (e Env) parameter(name string, decrypt bool) (string, error) {
	if e.Parameters == nil {
		return "", errors.New("aws parameter store cannot be used here")
	}
	var value string
	err := e.network("aws parameter store", func(ctx context.Context) (err error) {
		value, err = e.Parameters.Parameter(ctx, name, decrypt)
		return err
	})
	if err != nil {
		return "", fmt.Errorf("aws parameter store: read parameter %q: %w", name, err)
	}
	return value, nil
}

func (e Env) secretField(args []cty.Value) (cty.Value, error) {
	name, key := args[0].AsString(), ""
	if !args[1].IsNull() {
		key = args[1].AsString()
	}
	whole, err := e.secret(name)
	if err != nil {
		return cty.NilVal, err
	}
	value, err := jsonField(whole, key)
	if err != nil {
		return cty.NilVal, fmt.Errorf("aws secrets manager: secret %q %w", name, err)
	}
	return cty.StringVal(value), nil
}

// jsonField takes a field out of a secret. An empty key stands for the only field there is; a secret that is no JSON
// object is returned as it stands, whatever the key. An error continues a sentence that starts with the secret's name,
// and never shows a value.
func jsonField(secret, key string) (string, error) {
	fields, ok := jsonObject(secret)
	if !ok {
		return secret, nil
	}
	names := slices.Sorted(maps.Keys(fields))
	if key == "" {
		if len(names) != 1 {
			return "", fmt.Errorf("has %d fields, so one of them must be named: %s", len(names), quotedList(names))
		}
		key = names[0]
	}
	field, ok := fields[key]
	if !ok {
		return "", fmt.Errorf("has no field %q; it has %s", key, quotedList(names))
	}
	value, err := scalarText(field)
	if err != nil {
		return "", fmt.Errorf("cannot be used: field %q %w", key, err)
	}
	if n, isNumber := field.(json.Number); isNumber {
		return withoutDecimals(n), nil
	}
	return value, nil
}

// jsonObject reads a text that is one JSON object and nothing else.
func jsonObject(s string) (map[string]any, bool) {
	var probe map[string]json.RawMessage
	if json.Unmarshal([]byte(s), &probe) != nil || probe == nil {
		return nil, false
	}
	decoder := json.NewDecoder(strings.NewReader(s))
	decoder.UseNumber()
	var fields map[string]any
	if decoder.Decode(&fields) != nil {
		return nil, false
	}
	return fields, true
}

// scalarText writes a JSON scalar as text. An error continues a sentence that starts with the field's name.
func scalarText(v any) (string, error) {
	switch v := v.(type) {
	case string:
		return v, nil
	case json.Number:
		return v.String(), nil
	case bool:
		return fmt.Sprint(v), nil
	case nil:
		return "", errors.New("is null")
	case []any:
		return "", errors.New("is a list, not a text")
	default:
		return "", errors.New("is an object, not a text")
	}
}

// withoutDecimals rounds a number to a whole one, as templates have always seen the numbers of secrets. Whole numbers are
// exact; one that is too large for that stays as it is written.
func withoutDecimals(n json.Number) string {
	const precision = 512
	f, _, err := big.ParseFloat(n.String(), 10, precision, big.ToNearestEven)
	if err != nil || f.IsInf() || f.MantExp(nil) > precision {
		return n.String()
	}
	return f.Text('f', 0)
}

// quotedList lists names in an error message.
func quotedList(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	quoted := make([]string, len(names))
	for i, name := range names {
		quoted[i] = fmt.Sprintf("%q", name)
	}
	return strings.Join(quoted, ", ")
}
