package cli

import (
	"runtime"
	"strings"
	"testing"

	"ingot/internal/component"
	"ingot/internal/plan"
	"ingot/internal/planview"
	"ingot/internal/template"
)

// TestCreates: what components say that they will make, and how builders say
// that machines are reached, also where that is not known yet.
func TestCreates(t *testing.T) {
	const data = "data \"null\" \"x\" {\n  input = \"x\"\n}\n"
	for config, want := range map[string]string{
		`source "null" "x" { communicator = "none" }`: "none:",
		`source "null" "x" {
			ssh_host     = "h"
			ssh_username = "u"
			ssh_password = "p"
		}`: "ssh:",
		`source "null" "x" {
			communicator = data.null.x.output
		}`: ":",
		`source "file" "x" {
			target  = "f"
			content = "c"
		}`: ":file f",
		`source "docker" "x" {
			image  = "i"
			commit = true
		}`: "docker:~container, image",
		`source "docker" "x" {
			image   = "i"
			discard = true
		}`: "docker:~container",
		`source "docker" "x" {
			image       = "i"
			export_path = "e.tar"
		}`: "docker:~container, file e.tar",
		`source "docker" "x" {
			image       = "i"
			export_path = data.null.x.output
		}`: "docker:~container, file",
		`source "oci" "x" {
			from   = "scratch"
			output = "a.tar"
			export {
				path   = "b"
				format = "oci-dir"
			}
		}`: "oci:~sandbox, image oci-archive:a.tar, image oci-dir:b",
		`source "oci" "x" {
			from   = "scratch"
			output = data.null.x.output
		}`: "oci:~sandbox, image",
		`provisioner "file" {
			direction   = "download"
			source      = "/etc/hosts"
			destination = "hosts"
		}`: "download hosts",
		`provisioner "shell" { inline = ["true"] }`:                                                 "",
		`post-processor "artifice" { files = ["x"] }`:                                               "",
		`post-processor "checksum" {}`:                                                              "file packer_x_docker_md5.checksum",
		`post-processor "checksum" { checksum_types = ["md5", "sha1"] }`:                            "file packer_x_docker_md5.checksum, file packer_x_docker_sha1.checksum",
		"post-processor \"checksum\" {\nchecksum_types = [\"md5\", \"sha1\"]\noutput = \"sums\"\n}": "file sums",
		"post-processor \"checksum\" {\nchecksum_types = [data.null.x.output]\n}":                   "file",
		"post-processor \"compress\" { output = \"{{.ID}}.tar\" }":                                  "file",
		"post-processor \"compress\" {}":                                                            "file packer_x_docker",
		`post-processor "checksum" { output = data.null.x.output }`:                                 "file",
		`post-processor "compress" { output = "x.tar.gz" }`:                                         "file x.tar.gz",
		`post-processor "compress" { output = data.null.x.output }`:                                 "file",
		`post-processor "manifest" {}`:                                                              "file packer-manifest.json",
		`post-processor "manifest" { output = data.null.x.output }`:                                 "file",
		`post-processor "docker-save" { path = "i.tar" }`:                                           "file i.tar",
		`post-processor "docker-import" { repository = "r" }`:                                       "image r",
		"post-processor \"docker-import\" {\nrepository = \"r\"\ntag = \"1\"\n}":                    "image r:1",
		`post-processor "docker-import" { repository = data.null.x.output }`:                        "image",
		"post-processor \"docker-tag\" {\nrepository = \"r\"\ntags = [\"1\"]\n}":                    "tag r:1",
		`post-processor "docker-tag" { repository = "r" }`:                                          "tag r",
		"post-processor \"docker-tag\" {\nrepository = \"r\"\ntags = [build.ID]\n}":                 "tag",
		`post-processor "docker-push" {}`:                                                           "registry image",
		`post-processor "shell-local" { inline = ["true"] }`:                                        "",
	} {
		if strings.HasPrefix(config, `source "oci"`) && runtime.GOOS != "linux" {
			continue
		}
		t.Run(config, func(t *testing.T) {
			b := plannedBuild(t, data+inBuild(config))
			got := ""
			switch {
			case strings.HasPrefix(config, "source"):
				got = b.Communicator + ":" + creationsText(b.Creates)
			case strings.HasPrefix(config, "provisioner"):
				got = creationsText(b.Provisioners[0].Creates)
			default:
				got = creationsText(b.Chains[0][0].Creates)
			}
			if got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
}

// inBuild is a template that uses a source, provisioner or post-processor.
func inBuild(config string) string {
	if strings.HasPrefix(config, "source") {
		typ := strings.Split(config, `"`)[1]
		return config + "\nbuild {\n  sources = [\"" + typ + ".x\"]\n}\n"
	}
	return "source \"docker\" \"x\" {\n  image = \"i\"\n  commit = true\n}\nbuild {\n  sources = [\"docker.x\"]\n" + config + "\n}\n"
}

func plannedBuild(t *testing.T, src string) *planview.Build {
	t.Helper()
	tmpl, diags := template.Load("-", template.Options{ConfigType: "hcl2", Stdin: strings.NewReader(src), CoreVersion: packerVersion})
	p, more := plan.Make(t.Context(), tmpl, plan.Inputs{Provider: builtins(), CoreVersion: packerVersion, WorkDir: t.TempDir()})
	if err := append(diags, more...).Err(); err != nil {
		t.Fatalf("%v in\n%s", err, src)
	}
	return planview.New(p, planview.Options{}).Builds[0]
}

func creationsText(l []component.Creation) string {
	var parts []string
	for _, c := range l {
		text := strings.TrimSpace(c.Kind + " " + c.Name)
		if c.Temporary {
			text = "~" + text
		}
		parts = append(parts, text)
	}
	return strings.Join(parts, ", ")
}
