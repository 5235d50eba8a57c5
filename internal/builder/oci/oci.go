// Package oci is the builder that needs nothing but the kernel: it runs
// provisioners in a sandbox of namespaces, on overlay layers, and makes an OCI
// image with one layer per provisioner.
//
// The sandbox is this program started again, so a program that uses the
// builder calls SandboxMain first thing when its first argument is SandboxArg.
package oci

import (
	"context"
	"os"

	"github.com/zclconf/go-cty/cty"

	"ingot/internal/builder/oci/sandbox"
	"ingot/internal/component"
	"ingot/internal/diag"
)

// SandboxArg is the first argument of a process that is a sandbox.
const SandboxArg = sandbox.Arg

// SandboxMain is the main function of a sandbox; args follow SandboxArg. Its
// result is the exit code.
func SandboxMain(args []string) int { return sandbox.Main(args) }

// The resource kinds of this builder.
const (
	// DirKind is a directory that may hold files of the sandbox's users.
	DirKind = "oci.dir"
	// SandboxKind is the process of a sandbox; the id is "PID:STARTTIME".
	SandboxKind = "oci.sandbox"
)

// attrParent is the attribute of an oci.dir with the directory it lies in.
const attrParent = "parent"

type builder struct{ getenv func(string) string }

// New makes the builder.
func New() component.Builder { return builder{getenv: os.Getenv} }

// NewReaper makes the reaper of what the builder acquires.
func NewReaper() component.Reaper { return reaper{} }

// Schema describes the configuration.
func (builder) Schema() component.Schema { return schema() }

// Plan checks a configuration.
func (b builder) Plan(_ context.Context, cfg cty.Value) (component.Job, diag.List) {
	p, diags := readConfig(cfg, b.getenv)
	if diags.HasErrors() {
		return nil, diags
	}
	job, more := newJob(p)
	diags = append(diags, more...)
	if diags.HasErrors() {
		return nil, diags
	}
	return job, diags
}
