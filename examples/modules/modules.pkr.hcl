# A template that takes its source, some of its provisioners and a value from a
# module. It needs nothing but Ingot.
#
#   ingot build examples/modules
#
# Packer does not understand module, provisioners and output (docs/language.md).

variable "output_dir" {
  type        = string
  default     = "output-modules"
  description = "Folder for what is made."
}

module "base" {
  # A folder, relative to this one. A module can also come from a repository:
  # "git::https://example.com/images.git//modules/base?ref=v1.2.0"
  source = "./modules/base"

  # The other arguments are the variables of the module.
  title  = "An image"
  target = "${var.output_dir}/image.txt"
  checks = ["test -n \"$HOME\"", "test -d ."]
}

# Provisioners that several builds share. They run where a build names them.
provisioners "announce" {
  provisioner "shell-local" {
    inline = ["echo announcing ${source.name} in ${build.name}"]
  }
}

build {
  name    = "release"
  sources = ["module.base.source.file.image"]

  provisioners "announce" {}
  provisioners "module.base.checks" {}

  provisioner "shell-local" {
    inline = ["echo the module says: ${module.base.summary}"]
  }
}
