package dockerengine

import (
	"context"
	"fmt"
	"regexp"
	"strings"

	"github.com/moby/moby/api/types/registry"
)

// ecrRegistry is what the name of an ECR registry says.
type ecrRegistry struct {
	host    string
	account string
	region  string
	public  bool
}

// publicECR is the host of ECR Public, whose API exists in one region only.
const (
	publicECR       = "public.ecr.aws"
	publicECRRegion = "us-east-1"
)

func parseECR(server string, public bool) (ecrRegistry, error) {
	host := serverHost(server)
	if public || host == publicECR {
		return ecrRegistry{host: publicECR, region: publicECRRegion, public: true}, nil
	}
	m := regexp.MustCompile(`^(\d{12})\.dkr\.ecr(?:-fips)?\.([a-z0-9-]+)\.amazonaws\.com(?:\.cn)?$|^(\d+)\.dkr[.-]ecr(?:-fips)?\.([a-z0-9-]+)\.on\.aws$`).FindStringSubmatch(host)
	if m == nil {
		return ecrRegistry{}, fmt.Errorf("%q does not have the form ACCOUNT.dkr.ecr.REGION.amazonaws.com, and is not public.ecr.aws", server)
	}
	return ecrRegistry{host: host, account: m[1] + m[3], region: m[2] + m[4]}, nil
}

func (l Login) ecrCredentials(ctx context.Context, env Env) (registry.AuthConfig, error) {
	return registry.AuthConfig{}, fmt.Errorf("docker: ECR login at %s", strings.ToLower(l.Server))
}
