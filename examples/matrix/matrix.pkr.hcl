# Every system on every architecture, but for what does not exist. It needs
# nothing but Ingot.
#
#   ingot build examples/matrix
#   ingot build -only 'rootfs-debian-*' examples/matrix
#
# Packer does not understand the matrix block (docs/language.md).

variable "architectures" {
  type        = list(string)
  default     = ["amd64", "arm64"]
  description = "What to make the descriptions for."
}

variable "output_dir" {
  type        = string
  default     = "output-matrix"
  description = "Folder for what is made."
}

locals {
  mirror = {
    alpine = "https://dl-cdn.alpinelinux.org/alpine"
    debian = "https://deb.debian.org/debian"
    fedora = "https://dl.fedoraproject.org/pub/fedora"
  }
}

source "file" "description" {}

build {
  name = "rootfs"

  matrix {
    system       = ["debian", "fedora"]
    architecture = var.architectures

    # There is nobody who would use it.
    exclude = [{ system = "fedora", architecture = "arm64" }]
    include = [{ system = "alpine", architecture = "riscv64" }]
  }

  source "source.file.description" {
    target  = "${var.output_dir}/${matrix.system}-${matrix.architecture}.json"
    content = "${jsonencode(merge(matrix, { mirror = local.mirror[matrix.system] }))}\n"
  }

  post-processor "checksum" {
    checksum_types = ["sha256"]
    output         = "${var.output_dir}/${matrix.system}-${matrix.architecture}.sha256"
  }
}
