# One set of blocks for several images: a source for each release, and a check
# for each of them. It needs nothing but Ingot.
#
#   ingot build examples/foreach
#   ingot build -only 'image.*-22.04' examples/foreach
#
# Packer does not understand for_each on these blocks (docs/language.md).

variable "releases" {
  type = map(object({
    codename = string
    packages = optional(list(string), [])
  }))
  default = {
    "22.04" = { codename = "jammy" }
    "24.04" = { codename = "noble", packages = ["git", "curl"] }
  }
  description = "The releases to make, by version."
}

variable "output_dir" {
  type        = string
  default     = "output-foreach"
  description = "Folder for what is made."
}

source "file" "release" {
  for_each = var.releases
  target   = "${var.output_dir}/${each.value.codename}.txt"
  content  = "Ubuntu ${each.key}: ${join(" ", concat(["base"], each.value.packages))}\n"
}

source "null" "here" {
  communicator = "none"
}

build {
  name    = "image"
  sources = ["source.file.release"] # every instance

  post-processor "checksum" {
    checksum_types = ["sha256"]
    output         = "${var.output_dir}/${source.name}.sha256"
  }
}

# Each check uses the artifact of its own release, so it runs after that one.
build {
  name     = "check"
  for_each = var.releases
  sources  = ["source.null.here"]

  provisioner "shell-local" {
    inline = [
      "grep '^Ubuntu ${each.key}: base' ${build.image.artifacts["file.release-${each.key}"].files[0]}",
    ]
  }
}
