// Package otlp sends a run of the history as an OpenTelemetry trace: a span for the
// run, and below it one for each build, phase, step and wait. It speaks OTLP over
// HTTP with JSON, whose few messages are written here: the OpenTelemetry libraries
// would make every command start slower.
//
// The environment decides, by OpenTelemetry's own variables.
package otlp

import (
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Settings say where traces go, and how.
type Settings struct {
	// Endpoint is the whole URL; empty when no traces are to be sent.
	Endpoint string
	Headers  map[string]string
	// Timeout is for the whole sending, attempts after a failure included.
	Timeout time.Duration
	Gzip    bool
	// Certificate is a file with the authorities that the receiver's certificate
	// may come from, ClientCertificate and ClientKey those of the sender.
	Certificate, ClientCertificate, ClientKey string
	// Resource are the attributes of who sends.
	Resource []Attribute
	// Parent is the trace that the run is a part of.
	Parent Parent
}

// Attribute is a name with its value.
type Attribute struct{ Name, Value string }

// Parent is a span of another program, in hexadecimal as in a traceparent header.
type Parent struct{ Trace, Span string }

const defaultTimeout = 10 * time.Second

// FromEnvironment reads the settings. An error says which variable asks for
// something that is not there.
func FromEnvironment(getenv func(string) string) (Settings, error) {
	if strings.EqualFold(getenv("OTEL_SDK_DISABLED"), "true") || getenv("OTEL_TRACES_EXPORTER") == "none" {
		return Settings{}, nil
	}
	traces := func(name string) string {
		if v := getenv("OTEL_EXPORTER_OTLP_TRACES_" + name); v != "" {
			return v
		}
		return getenv("OTEL_EXPORTER_OTLP_" + name)
	}
	s := Settings{
		Timeout: defaultTimeout, Certificate: traces("CERTIFICATE"),
		ClientCertificate: traces("CLIENT_CERTIFICATE"), ClientKey: traces("CLIENT_KEY"),
	}
	var err error
	if s.Endpoint, err = endpoint(getenv); err != nil || s.Endpoint == "" {
		return Settings{}, err
	}
	if v := getenv("OTEL_TRACES_EXPORTER"); v != "" && v != "otlp" {
		return Settings{}, fmt.Errorf("OTEL_TRACES_EXPORTER is %q: only otlp and none are there", v)
	}
	switch v := traces("PROTOCOL"); v {
	case "", "http/json", "http/protobuf":
	default:
		return Settings{}, fmt.Errorf("OTEL_EXPORTER_OTLP_PROTOCOL is %q: only http/json is there", v)
	}
	switch v := traces("COMPRESSION"); v {
	case "", "none":
	case "gzip":
		s.Gzip = true
	default:
		return Settings{}, fmt.Errorf("OTEL_EXPORTER_OTLP_COMPRESSION is %q: only gzip and none are there", v)
	}
	if v := traces("TIMEOUT"); v != "" {
		ms, err := strconv.ParseUint(v, 10, 31)
		if err != nil || ms == 0 {
			return Settings{}, fmt.Errorf("OTEL_EXPORTER_OTLP_TIMEOUT is %q: want a number of milliseconds", v)
		}
		s.Timeout = time.Duration(ms) * time.Millisecond
	}
	headers, err := pairs(traces("HEADERS"))
	if err != nil {
		return Settings{}, errors.New("OTEL_EXPORTER_OTLP_HEADERS: want name=value, with commas between") // its text may be secret
	}
	s.Headers = map[string]string{}
	for _, h := range headers {
		s.Headers[h.Name] = h.Value
	}
	if s.Resource, err = resource(getenv); err != nil {
		return Settings{}, err
	}
	s.Parent = parseParent(getenv("TRACEPARENT"))
	return s, nil
}

// endpoint is the URL of the receiver of traces: the general one gets the path of
// traces, one for traces alone is taken as it is.
func endpoint(getenv func(string) string) (string, error) {
	name, path := "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", ""
	text := getenv(name)
	if text == "" {
		name, path = "OTEL_EXPORTER_OTLP_ENDPOINT", "v1/traces"
		text = getenv(name)
	}
	if text == "" {
		return "", nil
	}
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return "", fmt.Errorf("%s: want a URL such as http://localhost:4318", name)
	}
	if path != "" {
		u = u.JoinPath(path)
	}
	return u.String(), nil
}

// resource are the attributes that the environment gives, and the name of the
// service, which has a variable of its own.
func resource(getenv func(string) string) ([]Attribute, error) {
	list, err := pairs(getenv("OTEL_RESOURCE_ATTRIBUTES"))
	if err != nil {
		return nil, fmt.Errorf("OTEL_RESOURCE_ATTRIBUTES: %w", err)
	}
	service := getenv("OTEL_SERVICE_NAME")
	var out []Attribute
	for _, a := range list {
		if a.Name != serviceName {
			out = append(out, a)
		} else if service == "" {
			service = a.Value
		}
	}
	if service == "" {
		service = "ingot"
	}
	return append([]Attribute{{serviceName, service}}, out...), nil
}

const serviceName = "service.name"

// pairs reads name=value,name=value, percent-encoded.
func pairs(text string) ([]Attribute, error) {
	var out []Attribute
	for part := range strings.SplitSeq(text, ",") {
		if part = strings.TrimSpace(part); part == "" {
			continue
		}
		name, value, ok := strings.Cut(part, "=")
		name = strings.TrimSpace(name)
		value, err := url.PathUnescape(strings.TrimSpace(value))
		if !ok || name == "" || err != nil {
			return nil, fmt.Errorf("%q: want name=value, with commas between", part)
		}
		out = append(out, Attribute{name, value})
	}
	return out, nil
}

// parseParent reads a traceparent; what is none counts as absent, as its
// specification asks.
func parseParent(text string) Parent {
	parts := strings.Split(strings.TrimSpace(text), "-")
	if len(parts) < 4 || len(parts[0]) != 2 || parts[0] == "ff" || !isID(parts[1], 32) || !isID(parts[2], 16) {
		return Parent{}
	}
	return Parent{parts[1], parts[2]}
}

func isID(text string, length int) bool {
	return len(text) == length && strings.Trim(text, "0123456789abcdef") == "" && strings.Trim(text, "0") != ""
}
