package base

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Bootstrap is how to make a Debian root file system.
type Bootstrap struct {
	Mirror, Variant string
	// Platform is the architecture to make it for; any but this machine's
	// needs an emulator.
	Platform             v1.Platform
	Packages, Components []string
	// Refresh ignores what is in the cache.
	Refresh bool
	// Epoch, when set, makes the result reproducible where the tool can.
	Epoch *time.Time
	// Single: there is one user only, which no tool can work with.
	Single bool
	// Run runs a program on this machine, as root of the sandbox, and
	// fails unless it succeeds.
	Run func(ctx context.Context, args, env []string) error
	// Say tells the user what is going on.
	Say func(text string)
}

// searchPath is where the tools are; they live in sbin, which the PATH of
// ordinary users often lacks.
const searchPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// bootstrap returns a tar file with the root file system of a suite.
func (s *Store) bootstrap(ctx context.Context, suite string, b Bootstrap) (string, error) {
	dir, err := s.Dir("bootstrap")
	if err != nil {
		return "", err
	}
	key := b.key(suite)
	file := filepath.Join(dir, key+".tar")
	unlock, err := s.Lock(ctx, "bootstrap-"+key)
	if err != nil {
		return "", err
	}
	defer unlock()
	if _, err := os.Stat(file); err == nil && !b.Refresh {
		return file, nil
	}
	if b.Single {
		return "", errors.New("without root and without ranges of user ids a Debian root file system cannot be made: install newuidmap (package uidmap) and give this user a range in /etc/subuid and /etc/subgid, or run as root")
	}
	if b.Say != nil {
		b.Say("Making a Debian " + suite + " root file system; this takes a minute or two and is kept in the cache")
	}
	tmp, err := os.MkdirTemp(s.Tmp, "bootstrap-")
	if err != nil {
		return "", fmt.Errorf("oci cache: %w", err)
	}
	made := filepath.Join(tmp, "root.tar")
	if err := b.make(ctx, suite, tmp, made); err != nil {
		return "", err
	}
	if err := os.Rename(made, file); err != nil {
		return "", fmt.Errorf("oci cache: %w", err)
	}
	return file, nil
}

// key names what the result depends on, apart from the day.
func (b Bootstrap) key(suite string) string {
	sum := sha256.New()
	fmt.Fprintf(sum, "%q %q %q %q %q %q", suite, b.variant(), b.Packages, b.Components, b.Mirror, b.Platform)
	if b.Epoch != nil {
		fmt.Fprintf(sum, " %d", b.Epoch.Unix())
	}
	return suite + "-" + hex.EncodeToString(sum.Sum(nil)[:12])
}

func (b Bootstrap) variant() string {
	if b.Variant == "" {
		return "minbase"
	}
	return b.Variant
}

func (b Bootstrap) make(ctx context.Context, suite, tmp, file string) error {
	env := []string{"PATH=" + searchPath, "HOME=/root", "LC_ALL=C.UTF-8", "TMPDIR=" + tmp}
	for _, v := range []string{"http_proxy", "https_proxy", "no_proxy"} {
		if val, ok := os.LookupEnv(v); ok {
			env = append(env, v+"="+val)
		}
	}
	if b.Epoch != nil {
		env = append(env, "SOURCE_DATE_EPOCH="+strconv.FormatInt(b.Epoch.Unix(), 10))
	}
	arch, err := debianArchitecture(b.Platform)
	if err != nil {
		return err
	}
	if tool := find("mmdebstrap"); tool != "" {
		return b.Run(ctx, b.mmdebstrap(tool, suite, arch, file), env)
	}
	tool := find("debootstrap")
	if tool == "" {
		return errors.New("neither mmdebstrap nor debootstrap is installed on this machine: install one of them")
	}
	args, err := b.debootstrap(tool, suite, arch, filepath.Join(tmp, "root"))
	if err != nil {
		return err
	}
	if err := b.Run(ctx, args, env); err != nil {
		return err
	}
	tar := find("tar")
	if tar == "" {
		return errors.New("tar is not installed on this machine")
	}
	return b.Run(ctx, []string{tar, "-C", filepath.Join(tmp, "root"), "--sort=name", "--numeric-owner", "--xattrs", "--exclude=./dev/*", "--exclude=./var/cache/apt/archives/*.deb", "-cf", file, "."}, env)
}

// debianArchitecture is Debian's name of an architecture.
func debianArchitecture(p v1.Platform) (string, error) {
	switch p.Architecture + strings.TrimSuffix("/"+p.Variant, "/") {
	case "amd64", "arm64", "riscv64", "s390x":
		return p.Architecture, nil
	case "arm64/v8":
		return "arm64", nil
	case "arm", "arm/v7":
		return "armhf", nil
	case "arm/v6", "arm/v5":
		return "armel", nil
	case "386":
		return "i386", nil
	case "ppc64le":
		return "ppc64el", nil
	case "loong64":
		return "loong64", nil
	}
	return "", fmt.Errorf("no architecture of Debian runs on %s", p)
}

// find looks for a program in searchPath.
func find(name string) string {
	for _, dir := range filepath.SplitList(searchPath) {
		if p, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return p
		}
	}
	return ""
}

// mmdebstrap leaves device nodes out, as published images do.
func (b Bootstrap) mmdebstrap(tool, suite, arch, file string) []string {
	args := []string{tool, "--mode=root", "--format=tar", "--variant=" + b.variant(), "--skip=output/dev", "--architectures=" + arch}
	if len(b.Packages) > 0 {
		args = append(args, "--include="+strings.Join(b.Packages, ","))
	}
	if len(b.Components) > 0 {
		args = append(args, "--components="+strings.Join(b.Components, ","))
	}
	args = append(args, suite, file)
	if b.Mirror != "" {
		args = append(args, b.Mirror)
	}
	return args
}

func (b Bootstrap) debootstrap(tool, suite, arch, dir string) ([]string, error) {
	args := []string{tool, "--arch=" + arch}
	switch b.variant() {
	case "minbase", "buildd":
		args = append(args, "--variant="+b.variant())
	case "important":
	default:
		return nil, fmt.Errorf("variant %q needs mmdebstrap: debootstrap has minbase, buildd and important only", b.variant())
	}
	if len(b.Packages) > 0 {
		args = append(args, "--include="+strings.Join(b.Packages, ","))
	}
	if len(b.Components) > 0 {
		args = append(args, "--components="+strings.Join(b.Components, ","))
	}
	args = append(args, suite, dir)
	if b.Mirror != "" {
		args = append(args, b.Mirror)
	}
	return args, nil
}
