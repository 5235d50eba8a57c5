package fetch

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	signer "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/config"
	"golang.org/x/oauth2/google"

	"ingot/internal/component"
	"ingot/internal/retry"
)

// The parameters of a URL that say how to get into a bucket of S3.
const (
	keyParameter          = "aws_access_key_id"
	accessSecretParameter = "aws_access_key_secret"
	tokenParameter        = "aws_access_token"
	profileParameter      = "aws_profile"
	regionParameter       = "region"
)

// hasKeys reports whether the URL says how to get in.
func (s source) hasKeys() bool {
	q := s.url.Query()
	return q.Has(keyParameter) || q.Has(profileParameter)
}

// bucketOfHost finds bucket, key and region of an address of S3, and of another
// server with the same interface, whose paths are /BUCKET/KEY.
func (s *source) bucketOfHost() {
	host, path := s.url.Hostname(), strings.TrimPrefix(s.url.Path, "/")
	s.region = s.url.Query().Get(regionParameter)
	rest, amazon := strings.CutSuffix(host, ".amazonaws.com")
	if !amazon {
		s.bucket, s.key, _ = strings.Cut(path, "/")
		return
	}
	// s3, s3.REGION, s3-REGION, BUCKET.s3, BUCKET.s3.REGION, BUCKET.s3-REGION
	m := regexp.MustCompile(`^(?:(.+)\.)?s3(?:[.-](?:dualstack\.)?([a-z0-9-]+))?$`).FindStringSubmatch(rest)
	if m == nil {
		return
	}
	if s.region == "" {
		s.region = m[2]
	}
	if m[1] != "" {
		s.bucket, s.key = m[1], path
		return
	}
	s.bucket, s.key, _ = strings.Cut(path, "/")
}

// bucketOfGCS finds bucket and key of an address of Google's storage.
func (s *source) bucketOfGCS() {
	if s.url.Scheme == "gs" {
		s.bucket, s.key = s.url.Host, strings.TrimPrefix(s.url.Path, "/")
		return
	}
	path := strings.TrimPrefix(s.url.Path, "/")
	path = strings.TrimPrefix(path, "storage/v1/")
	s.bucket, s.key, _ = strings.Cut(path, "/")
}

// signS3 makes the request for an object of S3. Without credentials it is not
// signed, which is enough for public buckets.
func (f *fetcher) signS3(ctx context.Context, req *http.Request, src source) (*http.Request, error) {
	q := src.url.Query()
	creds, region, err := f.awsCredentials(ctx, q, src.region)
	if err != nil {
		return nil, err
	}
	u := *src.url
	for _, name := range []string{keyParameter, accessSecretParameter, tokenParameter, profileParameter, regionParameter} {
		q.Del(name)
	}
	u.RawQuery = q.Encode()
	if u.Scheme == "s3" {
		u.Scheme, u.Host = "https", "s3."+region+".amazonaws.com"
		u.Path, u.RawPath = "/"+src.bucket+"/"+src.key, ""
	}
	req.URL, req.Host = &u, u.Host
	if creds.AccessKeyID == "" {
		return req, nil
	}
	const unsigned = "UNSIGNED-PAYLOAD"
	req.Header.Set("X-Amz-Content-Sha256", unsigned)
	sign := signer.NewSigner(func(o *signer.SignerOptions) { o.DisableURIPathEscaping = true })
	if err := sign.SignHTTP(ctx, creds, req, unsigned, "s3", region, f.run.Clock.Now()); err != nil {
		return nil, fmt.Errorf("sign the request: %w", err)
	}
	return req, nil
}

// awsCredentials are those of the URL, else what the environment, the files of the
// AWS tools or the machine have; none when there are none.
func (f *fetcher) awsCredentials(ctx context.Context, q url.Values, region string) (aws.Credentials, string, error) {
	if q.Has(keyParameter) {
		if region == "" {
			region = "us-east-1"
		}
		f.run.Sensitive(q.Get(accessSecretParameter))
		return aws.Credentials{AccessKeyID: q.Get(keyParameter), SecretAccessKey: q.Get(accessSecretParameter), SessionToken: q.Get(tokenParameter)}, region, nil
	}
	ctx, cancel := context.WithTimeoutCause(ctx, 20*time.Second, retry.As(retry.Transient, fmt.Errorf("no AWS credentials within 20s")))
	defer cancel()
	var options []func(*config.LoadOptions) error
	if profile := q.Get(profileParameter); profile != "" {
		options = append(options, config.WithSharedConfigProfile(profile))
	}
	cfg, err := config.LoadDefaultConfig(ctx, options...)
	if err != nil {
		return aws.Credentials{}, "", retry.As(retry.User, fmt.Errorf("read the configuration of AWS: %w", err))
	}
	if region == "" {
		region = cfg.Region
	}
	if region == "" {
		region = "us-east-1"
	}
	creds, err := cfg.Credentials.Retrieve(ctx)
	if err != nil {
		if q.Has(profileParameter) {
			return aws.Credentials{}, "", retry.As(retry.Permission, fmt.Errorf("credentials of AWS: %w", err))
		}
		f.run.Emit(component.Trace{Text: "no AWS credentials, so the object is asked for without: " + err.Error()})
		return aws.Credentials{}, region, nil
	}
	return creds, region, nil
}

// signGCS makes the request for an object of Google's storage.
func (f *fetcher) signGCS(ctx context.Context, req *http.Request, src source) (*http.Request, error) {
	u := *src.url
	if u.Scheme == "gs" || strings.HasSuffix(u.Host, "googleapis.com") {
		u.Scheme, u.Host = "https", "storage.googleapis.com"
		u.Path, u.RawPath = "/"+src.bucket+"/"+src.key, ""
	}
	req.URL, req.Host = &u, u.Host
	token, err := f.googleToken(ctx)
	if err != nil {
		return nil, err
	}
	if token != "" {
		f.run.Sensitive(token)
		req.Header.Set("Authorization", "Bearer "+token)
	}
	return req, nil
}

// googleToken is the token of GOOGLE_OAUTH_ACCESS_TOKEN, else one for the
// credentials that GOOGLE_APPLICATION_CREDENTIALS or gcloud's own file holds, else
// empty, which is enough for public objects.
func (f *fetcher) googleToken(ctx context.Context) (string, error) {
	if token := f.env("GOOGLE_OAUTH_ACCESS_TOKEN"); token != "" {
		return token, nil
	}
	if f.env("GOOGLE_APPLICATION_CREDENTIALS") == "" {
		// Without a file the library would ask the network for a machine that
		// runs at Google.
		dir, err := os.UserConfigDir()
		if err != nil {
			return "", nil
		}
		if _, err := os.Stat(filepath.Join(dir, "gcloud", "application_default_credentials.json")); err != nil {
			return "", nil
		}
	}
	creds, err := google.FindDefaultCredentials(ctx, "https://www.googleapis.com/auth/devstorage.read_only")
	if err != nil {
		return "", retry.As(retry.Permission, fmt.Errorf("credentials of Google: %w", err))
	}
	token, err := creds.TokenSource.Token()
	if err != nil {
		return "", retry.As(retry.Permission, fmt.Errorf("credentials of Google: %w", err))
	}
	return token.AccessToken, nil
}
