package dockerengine

import (
	"context"
	"fmt"
	"strings"

	"github.com/distribution/reference"
	"github.com/docker/cli/cli/config"
	"github.com/docker/cli/cli/config/configfile"
	"github.com/moby/moby/api/pkg/authconfig"
	"github.com/moby/moby/api/types/registry"
	"github.com/zclconf/go-cty/cty"

	"ingot/internal/component"
	"ingot/internal/diag"
)

// Login is the attributes about registry credentials, shared by the builder
// and docker-push. Configuration structs embed it.
type Login struct {
	Login    bool   `cty:"login"`
	Server   string `cty:"login_server"`
	Username string `cty:"login_username"`
	Password string `cty:"login_password"`

	ECR          bool   `cty:"ecr_login"`
	AWSAccessKey string `cty:"aws_access_key"`
	AWSSecretKey string `cty:"aws_secret_key"`
	AWSToken     string `cty:"aws_token"`
	AWSProfile   string `cty:"aws_profile"`
	AWSPublic    bool   `cty:"aws_force_use_public_ecr"`
}

// LoginAttributes describes Login for a schema.
func LoginAttributes() []component.Attribute {
	secret := func(a component.Attribute) component.Attribute { a.Sensitive = true; return a }
	return []component.Attribute{
		component.Bool("login", "Use login_username and login_password at the registry. The docker program's own configuration is neither used nor changed."),
		component.String("login_server", "Registry to log in at. Default: the registry of the image."),
		component.String("login_username", "User name at the registry."),
		secret(component.String("login_password", "Password or token at the registry.")),
		component.Bool("ecr_login", "Get the credentials from Amazon ECR; needs login_server."),
		component.String("aws_access_key", "AWS access key for ecr_login. Default: the usual AWS environment and files."),
		secret(component.String("aws_secret_key", "AWS secret key for ecr_login.")),
		secret(component.String("aws_token", "AWS session token for ecr_login.")),
		component.String("aws_profile", "Profile of the AWS configuration files for ecr_login."),
		component.Bool("aws_force_use_public_ecr", "With ecr_login, use ECR Public whatever login_server says."),
	}
}

// Check finds settings that contradict each other or lack a part.
func (l Login) Check(cfg cty.Value) diag.List {
	var out diag.List
	if l.ECR {
		if !component.IsSet(cfg, "login_server") {
			out = append(out, diag.At("ecr_login", "Registry missing",
				"ecr_login needs login_server, such as \"123456789012.dkr.ecr.eu-west-1.amazonaws.com\".")...)
		} else if component.Known(cfg, "login_server") {
			if _, err := parseECR(l.Server, l.AWSPublic); err != nil {
				out = append(out, diag.At("login_server", "Not an ECR registry", "%v.", err)...)
			}
		}
		if (l.AWSAccessKey == "") != (l.AWSSecretKey == "") && component.Known(cfg, "aws_access_key") && component.Known(cfg, "aws_secret_key") {
			out = append(out, diag.At("aws_access_key", "Half a pair of keys", "aws_access_key and aws_secret_key belong together. Set both or neither.")...)
		}
		return out
	}
	if l.Login {
		for _, name := range []string{"login_username", "login_password"} {
			if !component.IsSet(cfg, name) {
				out = append(out, diag.At(name, "Credentials missing", "login = true needs %s.", name)...)
			}
		}
		return out
	}
	if component.Known(cfg, "login") {
		for _, name := range []string{"login_username", "login_password", "login_server"} {
			if component.IsSet(cfg, name) {
				out = append(out, diag.WarnAt(name, "Setting without effect", "%s is used only with login = true.", name)...)
			}
		}
	}
	return out
}

// Credentials finds out how to log in at the registry of an image: with the
// settings of the template when they ask for a login, else as the docker
// program would, by its configuration and credential helpers.
func (l Login) Credentials(ctx context.Context, env Env, image reference.Named) (registry.AuthConfig, error) {
	host := RegistryKey(image)
	if l.ECR {
		return l.ecrCredentials(ctx, env)
	}
	if l.Login {
		server := host
		if l.Server != "" {
			server = l.Server
		}
		return registry.AuthConfig{Username: l.Username, Password: l.Password, ServerAddress: server}, nil
	}
	file, err := ConfigFile(env)
	if err != nil {
		return registry.AuthConfig{}, err
	}
	a, err := file.GetAuthConfig(host)
	if err != nil {
		return registry.AuthConfig{}, fmt.Errorf("docker: read the stored credentials for %s: %w", host, err)
	}
	return registry.AuthConfig(a), nil
}

// Header is Credentials in the form of the API's header.
func (l Login) Header(ctx context.Context, env Env, image reference.Named) (string, error) {
	a, err := l.Credentials(ctx, env, image)
	if err != nil {
		return "", err
	}
	// Old engines insist on the header, so that no credentials are sent as such.
	return authconfig.Encode(a)
}

// All returns the credentials for every registry that is known, by registry,
// as a build from a Dockerfile needs them.
func (l Login) All(ctx context.Context, env Env) (map[string]registry.AuthConfig, error) {
	file, err := ConfigFile(env)
	if err != nil {
		return nil, err
	}
	stored, err := file.GetAllCredentials()
	if err != nil {
		return nil, fmt.Errorf("docker: read the stored credentials: %w", err)
	}
	out := make(map[string]registry.AuthConfig, len(stored)+1)
	for host, a := range stored {
		out[host] = registry.AuthConfig(a)
	}
	switch {
	case l.ECR:
		a, err := l.ecrCredentials(ctx, env)
		if err != nil {
			return nil, err
		}
		out[serverHost(a.ServerAddress)] = a
	case l.Login:
		host := serverHost(l.Server)
		if host == "" || host == "docker.io" || host == "index.docker.io" {
			host = dockerHub
		}
		out[host] = registry.AuthConfig{Username: l.Username, Password: l.Password, ServerAddress: host}
	}
	return out, nil
}

// ConfigFile reads the docker program's configuration; a missing one is empty.
func ConfigFile(env Env) (*configfile.ConfigFile, error) {
	file, err := config.Load(ConfigDir(env))
	if err != nil {
		return nil, fmt.Errorf("docker: read configuration in %s: %w", ConfigDir(env), err)
	}
	return file, nil
}

// dockerHub is the name that Docker Hub has in configuration files and
// credential helpers.
const dockerHub = "https://index.docker.io/v1/"

// RegistryKey is the name under which credentials for an image are stored.
func RegistryKey(image reference.Named) string {
	if host := reference.Domain(image); host != "docker.io" {
		return host
	}
	return dockerHub
}

func serverHost(server string) string {
	s := strings.TrimPrefix(strings.TrimPrefix(server, "https://"), "http://")
	host, _, _ := strings.Cut(s, "/")
	return host
}
