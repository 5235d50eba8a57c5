package oci

import (
	"github.com/zclconf/go-cty/cty"

	"ingot/internal/component"
)

func schema() component.Schema {
	path := func(a component.Attribute) component.Attribute { a.Format = component.Path; return a }
	required := func(a component.Attribute) component.Attribute { a.Required = true; return a }
	oneOf := func(a component.Attribute, def string, values ...string) component.Attribute {
		a.OneOf = values
		if def != "" {
			a.Default = cty.StringVal(def)
		}
		return a
	}
	flag := func(name, description string) component.Attribute {
		a := component.Bool(name, description)
		a.Default = cty.False
		return a
	}
	secret := component.String("login_password", "Password for the registry.")
	secret.Sensitive = true
	formats := []string{formatArchive, formatDir, formatDocker, formatRootfs}

	return component.Schema{
		Description: "Builds an OCI image without a daemon: provisioners run in a sandbox of kernel namespaces, on overlay layers, one image layer per provisioner. Needs Linux 5.11, root or user namespaces.",
		Attributes: []component.Attribute{
			required(component.String("from", "What to start from: `docker://REFERENCE` (pulled from a registry), `oci:DIR[:TAG]`, `oci-archive:FILE[:TAG]`, `docker-archive:FILE[:TAG]`, `tar:FILE` (a root file system, also compressed), `debootstrap:SUITE` (made by mmdebstrap or debootstrap) or `scratch`.")),
			component.String("platform", "Platform as `OS/ARCH[/VARIANT]`: chooses among the platforms of the base. Default linux and this machine's architecture."),
			flag("insecure", "Accept plain HTTP and unknown certificates from the registry. Registries on loopback addresses may always use plain HTTP."),
			oneOf(component.String("pull", "With `missing`, a base image that was pulled before is used without asking the registry. Default `always`."), "always", "always", "missing"),
			component.String("login_username", "User for the registry. Default: the credentials of `docker login`."),
			secret,

			component.String("mirror", "With `debootstrap:`, the package mirror."),
			oneOf(component.String("variant", "With `debootstrap:`, the set of packages. Default `minbase`."), "", "minbase", "buildd", "essential", "apt", "required", "important", "standard"),
			component.Strings("packages", "With `debootstrap:`, packages to add."),
			component.Strings("components", "With `debootstrap:`, archive components. Default `main`."),
			flag("refresh", "With `debootstrap:`, make the root file system anew. It is otherwise kept in the cache for each combination of suite, variant, packages, components and mirror."),

			path(component.String("output", "File or directory to write the image to.")),
			oneOf(component.String("format", "Format of `output`. Default: `rootfs-tar` for names with `.rootfs.tar`, `docker-archive` for `.docker.tar`, `oci-archive` for other `.tar` and `.oci` names (each also with `.gz` or `.zst` behind it, which compresses the file), and `oci-dir` otherwise."), "", formats...),
			component.String("tag", "Name of the image in `output`, such as `app:1.0`, which `docker load` gives it."),
			oneOf(component.String("compression", "Compression of new layers. Default `gzip`."), "gzip", "gzip", "zstd", "none"),
			component.Number("compression_level", "1 (fast) to 9 (small). Default: a middle one."),

			component.Strings("cmd", "Default command of the image."),
			component.Strings("entrypoint", "Entry point of the image. Setting it drops the base's `cmd`, as in a Dockerfile."),
			component.StringMap("env", "Environment of the image, added to the base's. Provisioners have it too."),
			component.StringMap("labels", "Labels of the image, added to the base's."),
			component.String("workdir", "Working directory of the image."),
			component.String("user", "User of the image: `NAME` or `UID`, with `:GROUP` if wanted."),
			component.Strings("ports", "Ports that the image listens on: `80` or `53/udp`."),
			component.Strings("volumes", "Directories of the image that are meant for volumes."),
			component.String("stop_signal", "Signal that stops a container of the image, such as `SIGTERM`."),
			component.String("author", "Author of the image."),

			component.String("exec_user", "User that provisioners run as: `NAME` or `UID`, with `:GROUP` if wanted. Default root, whatever the base's user is."),
			component.String("hostname", "Host name inside the sandbox. Default `ingot`."),
			oneOf(component.String("network", "`host`: provisioners use this machine's network. `none`: they have a loopback interface only."), "host", "host", "none"),
			component.Strings("tmpfs", "Directories that are kept in memory during the build and stay out of the image."),
			component.Strings("cap_add", "Linux capabilities for provisioners beyond those that containers have by default. With `SYS_ADMIN` or `SYS_PTRACE` the sandbox no longer protects this machine when running as root."),
		},
		Manual: &component.Manual{
			Example: `source "oci" "example" {
  from   = "docker://debian:12-slim"
  output = "app.tar"
  tag    = "app:1.0"
  cmd    = ["/usr/local/bin/app"]
}
`,
			Facts:    []component.Term{{Name: "ID", Description: "The name of the sandbox."}},
			Data:     []component.Term{{Name: "ManifestDigest", Description: "The digest of the image's manifest."}},
			Artifact: "The image, in one file or folder for `output` and for each `export` block. They are removed when the build fails.",
		},
		Blocks: []component.Block{
			{Name: "mount", Repeated: true, Schema: component.Schema{
				Description: "A file or directory of this machine that provisioners see. It stays out of the image.",
				Attributes: []component.Attribute{
					required(path(component.String("source", "Path on this machine."))),
					required(component.String("target", "Absolute path in the sandbox.")),
					{Name: "read_only", Type: cty.Bool, Default: cty.True, Description: "Whether provisioners may only read it. Default true."},
				},
			}},
			{Name: "export", Repeated: true, Schema: component.Schema{
				Description: "One more output, beside or in place of `output`.",
				Attributes: []component.Attribute{
					required(path(component.String("path", "File or directory to write."))),
					oneOf(component.String("format", "See the attribute `format` of the source."), "", formats...),
					component.String("tag", "Name of the image in it."),
				},
			}},
		},
	}
}
