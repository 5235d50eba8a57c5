package docker

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/zclconf/go-cty/cty"

	"ingot/internal/component"
	"ingot/internal/diag"
)

func planWith(t *testing.T, values map[string]cty.Value) (component.Job, diag.List) {
	t.Helper()
	b := New()
	return b.Plan(t.Context(), b.Schema().Object(values))
}

func TestPlanDiagnostics(t *testing.T) {
	s, yes, no := cty.StringVal, cty.True, cty.False
	dir := t.TempDir()
	dockerfile := filepath.Join(dir, "Dockerfile")
	if err := os.WriteFile(dockerfile, []byte("FROM x\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	build := func(values map[string]cty.Value) cty.Value { return schema().Blocks[0].Schema.Object(values) }
	type m = map[string]cty.Value
	for _, k := range []struct {
		name   string
		values m
		// at is the attribute of the one error, "-" for an error without a
		// place, "" for none; warn that of the one warning.
		at, warn string
	}{
		{"the least", m{"image": s("x"), "commit": yes}, "", ""},
		{"from a Dockerfile", m{"build": build(m{"path": s(dockerfile), "build_dir": s(dir)}), "discard": yes}, "", ""},
		{"no source", m{"commit": yes}, "image", ""},
		{"two sources", m{"image": s("x"), "build": build(m{"path": s(dockerfile)}), "commit": yes}, "image", ""},
		{"missing Dockerfile", m{"build": build(m{"path": s(dir + "/none")}), "commit": yes}, "build.path", ""},
		{"Dockerfile that is a folder", m{"build": build(m{"path": s(dir)}), "commit": yes}, "build.path", ""},
		{"missing build folder", m{"build": build(m{"path": s(dockerfile), "build_dir": s(dir + "/none")}), "commit": yes}, "build.build_dir", ""},
		{"nothing to do", m{"image": s("x")}, "-", ""},
		{"nothing to do, said so", m{"image": s("x"), "commit": no}, "-", ""},
		{"commit and export", m{"image": s("x"), "commit": yes, "export_path": s("x.tar")}, "export_path", ""},
		{"commit and discard", m{"image": s("x"), "commit": yes, "discard": yes}, "discard", ""},
		{"all three", m{"image": s("x"), "commit": yes, "discard": yes, "export_path": s("x.tar")}, "export_path", ""},
		{"export to a folder", m{"image": s("x"), "export_path": s(dir)}, "export_path", ""},
		{"export later", m{"image": s("x"), "export_path": cty.UnknownVal(cty.String)}, "", ""},
		{"image later", m{"image": cty.UnknownVal(cty.String), "commit": yes}, "", ""},
		{"commit later", m{"image": s("x"), "commit": cty.UnknownVal(cty.Bool)}, "", ""},
		{"bad image", m{"image": s("UPPER"), "commit": yes}, "image", ""},
		{"image by digest", m{"image": s("x@sha256:" + strings.Repeat("a", 64)), "commit": yes}, "", ""},
		{"bad platform", m{"image": s("x"), "commit": yes, "platform": s("a/b/c/d")}, "platform", ""},
		{"message without commit", m{"image": s("x"), "discard": yes, "message": s("m")}, "", "message"},
		{"Windows", m{"image": s("x"), "commit": yes, "windows_container": yes}, "windows_container", ""},
		{"Windows communicator", m{"image": s("x"), "commit": yes, "communicator": s("dockerWindowsContainer")}, "communicator", ""},
		{"bad change", m{"image": s("x"), "commit": yes, "changes": texts("RUN x")}, "changes", ""},
		{"change without argument", m{"image": s("x"), "commit": yes, "changes": texts("CMD")}, "changes", ""},
		{"two authors", m{"image": s("x"), "commit": yes, "author": s("a"), "changes": texts("MAINTAINER b")}, "changes", ""},
		{"bad run command", m{"image": s("x"), "commit": yes, "run_command": texts("--what", "{{.Image}}")}, "run_command", ""},
		{"run command without image", m{"image": s("x"), "commit": yes, "run_command": texts("-d")}, "run_command", ""},
		{"run command to be rendered", m{"image": s("x"), "commit": yes, "run_command": texts("--name", "{{build_name}}", "{{ .Image }}")}, "", ""},
		{"bad device", m{"image": s("x"), "commit": yes, "device": texts(":")}, "device", ""},
		{"relative volume target", m{"image": s("x"), "commit": yes, "volumes": cty.MapVal(m{"/a": s("b")})}, "volumes", ""},
		{"relative tmpfs", m{"image": s("x"), "commit": yes, "tmpfs": texts("b")}, "tmpfs", ""},
		{"relative container_dir", m{"image": s("x"), "commit": yes, "container_dir": s("b")}, "container_dir", ""},
		{"bad user", m{"image": s("x"), "commit": yes, "exec_user": s("a:b:c")}, "exec_user", ""},
		{"unknown communicator", m{"image": s("x"), "commit": yes, "communicator": s("telnet")}, "communicator", ""},
		{"ssh without user", m{"image": s("x"), "commit": yes, "communicator": s("ssh")}, "ssh_username", ""},
		{"exec_user with ssh", m{"image": s("x"), "commit": yes, "communicator": s("ssh"), "ssh_username": s("u"), "exec_user": s("u")}, "", "exec_user"},
		{"login without password", m{"image": s("x"), "commit": yes, "login": yes, "login_username": s("u")}, "login_password", ""},
		{"password without login", m{"image": s("x"), "commit": yes, "login_password": s("u")}, "", "login_password"},
		{"ECR without server", m{"image": s("x"), "commit": yes, "ecr_login": yes}, "ecr_login", ""},
		{"ECR elsewhere", m{"image": s("x"), "commit": yes, "ecr_login": yes, "login_server": s("example.com")}, "login_server", ""},
		{"docker_path", m{"image": s("x"), "commit": yes, "docker_path": s("podman")}, "", "docker_path"},
	} {
		t.Run(k.name, func(t *testing.T) {
			job, diags := planWith(t, k.values)
			if (job == nil) != diags.HasErrors() {
				t.Errorf("job %v, diagnostics %v", job, diags)
			}
			check(t, "errors", diags.Errors(), k.at)
			check(t, "warnings", diags.Warnings(), k.warn)
		})
	}
}

func check(t *testing.T, what string, got diag.List, at string) {
	t.Helper()
	if at == "" {
		if len(got) > 0 {
			t.Errorf("%s: %v", what, got[0])
		}
		return
	}
	if len(got) != 1 {
		t.Fatalf("%s: got %d: %v", what, len(got), got)
	}
	var path []string
	for _, step := range got[0].Path {
		path = append(path, step.(cty.GetAttrStep).Name)
	}
	if p := strings.Join(path, "."); p != at && !(at == "-" && p == "") {
		t.Errorf("%s: at %q, want %q: %v", what, p, at, got[0])
	}
	if got[0].Detail == "" {
		t.Errorf("%s: no detail: %v", what, got[0])
	}
}

// Every attribute that Packer's plugin has is known here.
func TestSchemaHasEveryAttribute(t *testing.T) {
	s := schema()
	for name := range strings.FieldsSeq(`author aws_access_key aws_force_use_public_ecr aws_profile aws_secret_key
		aws_token cap_add cap_drop changes commit communicator container_dir device discard docker_path ecr_login
		exec_user export_path fix_upload_owner image login login_password login_server login_username message
		pause_before_connecting platform privileged pty pull run_command runtime ssh_agent_auth ssh_host ssh_username
		tmpfs volumes windows_container winrm_host`) {
		if _, ok := s.Attribute(name); !ok {
			t.Errorf("no attribute %s", name)
		}
	}
	for name := range strings.FieldsSeq("arguments build_dir compress path pull") {
		if _, ok := s.Blocks[0].Schema.Attribute(name); !ok {
			t.Errorf("no attribute build.%s", name)
		}
	}
	seen := map[string]bool{}
	for _, a := range s.Attributes {
		if seen[a.Name] {
			t.Errorf("attribute %s is there twice", a.Name)
		}
		seen[a.Name] = true
	}
}
