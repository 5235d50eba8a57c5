package docker

import (
	"github.com/zclconf/go-cty/cty"

	"ingot/internal/component"
	"ingot/internal/dockerengine"
)

// What templates see as build.*.
const (
	factID           = "ID"
	factSourceDigest = "SourceImageDigest"
	factImageSHA256  = dockerengine.DataSHA
)

func schema() component.Schema {
	on := func(a component.Attribute) component.Attribute { a.Default = cty.True; return a }
	path := func(a component.Attribute) component.Attribute { a.Format = component.Path; return a }
	late := func(a component.Attribute) component.Attribute { a.Late = true; return a }
	attrs := []component.Attribute{
		component.String("image", "Image to start from: a name, NAME:TAG or NAME@DIGEST. Either image or a build block is needed."),
		component.Bool("commit", "Make an image of the container. Exactly one of commit, discard and export_path is needed."),
		component.Bool("discard", "Throw the container away when the build is complete."),
		path(component.String("export_path", "Write the container's file system to this tar file.")),

		component.String("author", "Author of the committed image."),
		component.String("message", "Message of the committed image."),
		component.Strings("changes", "Dockerfile instructions for the committed image's metadata: CMD, ENTRYPOINT, ENV, EXPOSE, HEALTHCHECK, LABEL, ONBUILD, STOPSIGNAL (newer engines), USER, VOLUME, WORKDIR."),

		on(component.Bool("pull", "Pull the image first. Without it the image must be there. Default true.")),
		component.String("platform", "Platform to pull, build and run, such as \"linux/arm64\". Default: the engine's."),
		late(component.Strings("run_command", "Arguments of `docker run` that start the container; {{.Image}} is the image. Default: [\"-d\", \"-i\", \"-t\", \"--entrypoint=/bin/sh\", \"--\", \"{{.Image}}\"].")),
		component.StringMap("volumes", "Volumes to mount, by host path or volume name; the value is PATH or PATH:OPTIONS in the container."),
		component.Strings("tmpfs", "Paths in the container to mount a file system in memory at."),
		component.Strings("device", "Devices of the host to give to the container: HOST[:CONTAINER[:PERMISSIONS]]."),
		component.Strings("cap_add", "Linux capabilities to add."),
		component.Strings("cap_drop", "Linux capabilities to drop."),
		component.Bool("privileged", "Run the container with all privileges."),
		component.String("runtime", "Container runtime of the engine, such as \"runsc\"."),

		component.String("exec_user", "User that provisioners run as: NAME or UID, optionally with :GROUP. Default: the container's user."),
		component.Bool("pty", "Run provisioners' commands in a terminal."),
		on(component.Bool("fix_upload_owner", "Uploaded files belong to the user that provisioners run as; otherwise to root. Default true.")),
		component.String("container_dir", "Path of a scratch volume in the container that lasts as long as the build. There is none by default: uploads do not need it."),
		component.Bool("windows_container", "Build a Windows container. Not supported."),
		component.String("docker_path", "Path of the docker program, which is not used."),
	}
	attrs = append(attrs, dockerengine.LoginAttributes()...)
	attrs = append(attrs, component.ConnectionAttributes()...)
	return component.Schema{
		Description: "Starts a container from an image or a Dockerfile, provisions it, and commits or exports it. It talks to the engine's API; the docker program is not needed. The engine is the one that DOCKER_HOST, DOCKER_CONTEXT or the current docker context names.",
		Attributes:  attrs,
		Manual: &component.Manual{
			Example: `source "docker" "example" {
  image   = "debian:12"
  commit  = true
  changes = ["USER app", "CMD [\"app\"]"]
}
`,
			Facts: []component.Term{
				{Name: factID, Description: "The ID of the container."},
				{Name: factSourceDigest, Description: "The digest of the image that the container was started from, empty when no registry gave it one."},
			},
			Data:     []component.Term{{Name: factImageSHA256, Description: "The ID of the committed image; only with `commit`."}},
			Artifact: "With `commit` an image without a name, which docker-tag can name; with `export_path` a tar file of the container's file system; with `discard` nothing. The container is always removed.",
		},
		Blocks: []component.Block{{
			Name: "build",
			Schema: component.Schema{
				Description: "Builds the image to start from out of a Dockerfile.",
				Attributes: []component.Attribute{
					path(component.Attribute{Name: "path", Type: cty.String, Required: true, Description: "The Dockerfile."}),
					path(component.String("build_dir", "Folder that COPY and ADD take files from. Default: the working directory.")),
					component.StringMap("arguments", "Build arguments (ARG)."),
					component.Attribute{Name: "pull", Type: cty.Bool, Default: cty.True, Description: "Pull newer versions of the images that the Dockerfile starts from. Default true."},
					component.Bool("compress", "Compress the build folder on its way to the engine."),
				},
			},
		}},
	}
}
