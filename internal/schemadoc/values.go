package schemadoc

// values are what expressions can refer to in every template, beside the facts
// of single builders.
func values() []Term {
	return []Term{
		{"var.NAME", "The value of a variable."},
		{"local.NAME", "The value of a local."},
		{"data.TYPE.NAME", "What a data source has read: an object."},
		{"each.key", "In blocks with for_each: the key of the element."},
		{"each.value", "In blocks with for_each: the element."},
		{"matrix.NAME", "In build blocks with a matrix: the value of the list of that name."},
		{"path.cwd", "The working directory."},
		{"path.root", "The template's folder, as it was given on the command line."},
		{"packer.version", "The version of Packer that is served."},
		{"source.type", "In build blocks: the type of the source."},
		{"source.name", "In build blocks: the name of the source, or the one that the build gives it."},
		{"build.name", "In build blocks: the name of the block."},
		{"build.ID", "The machine's ID. This and all below can be used in provisioners and post-processors and is known when the machine runs."},
		{"build.Host", "The address that the machine is reached at."},
		{"build.Port", "The port that the machine is reached at."},
		{"build.User", "The user that is logged in as."},
		{"build.Password", "The password of that user."},
		{"build.ConnType", "The communicator, such as `ssh`."},
		{"build.PackerRunUUID", "The ID of the run."},
		{"build.PackerHTTPAddr", "Address and port of the builder's HTTP server, as the machine sees them."},
		{"build.PackerHTTPIP", "The address alone."},
		{"build.PackerHTTPPort", "The port alone."},
		{"build.SSHPublicKey", "The public key that the machine lets in."},
		{"build.SSHPrivateKey", "The private key for it."},
		{"build.WinRMPassword", "The password for WinRM."},
		{"build.BLOCK.artifact", "What another build block has made; it runs first then."},
		{"build.BLOCK.artifacts", "What the builds of another build block have made, an object by the names of their sources."},
	}
}
