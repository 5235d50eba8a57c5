# A golden Debian image, without a daemon and without a registry.
#
#   ingot build examples/quickstart
#   ingot build -var from=docker://debian:12 examples/quickstart
#   ingot build -var from=tar:rootfs.tar.xz -var output_dir=/tmp/image examples/quickstart

variable "from" {
  type        = string
  default     = "debootstrap:bookworm"
  description = "Base of the image: debootstrap:SUITE, docker://REFERENCE, tar:FILE, oci:DIR and others."
}

variable "package" {
  type        = string
  default     = "hello"
  description = "Debian package to install."
}

variable "user" {
  type        = string
  default     = "golden"
  description = "Account to create in the image."

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,30}$", var.user))
    error_message = "The user name must start with a lower-case letter and hold only letters, digits and dashes."
  }
}

variable "output_dir" {
  type        = string
  default     = "output-quickstart"
  description = "Folder for the image, the manifest and the checksum."
}

locals {
  image = "${var.output_dir}/golden-debian.docker.tar"
  motd  = "A golden image, built by Ingot.\n"
}

source "oci" "debian" {
  from   = var.from
  output = local.image
  tag    = "golden-debian:latest"

  env     = { LANG = "C.UTF-8" }
  labels  = { "org.opencontainers.image.title" = "Golden Debian" }
  workdir = "/home/${var.user}"
  user    = var.user
  cmd     = ["/bin/bash", "--login"]
}

build {
  name    = "quickstart"
  sources = ["source.oci.debian"]

  provisioner "shell" {
    name = "install a package"
    env  = { DEBIAN_FRONTEND = "noninteractive" }
    inline = [
      "apt-get update -q",
      "apt-get install -q -y --no-install-recommends ${var.package}",
      "apt-get clean",
      "rm -rf /var/lib/apt/lists/*",
    ]
  }

  provisioner "shell" {
    name   = "create a user"
    inline = ["useradd --create-home --shell /bin/bash ${var.user}"]
  }

  provisioner "file" {
    name        = "write a file"
    content     = local.motd
    destination = "/etc/motd"
  }

  provisioner "shell" {
    name = "smoke test"
    inline = [
      "dpkg -s ${var.package} | grep '^Status: install ok installed'",
      "id ${var.user}",
      "grep -q golden /etc/motd",
    ]
  }

  post-processors {
    post-processor "checksum" {
      checksum_types = ["sha256"]
      output         = "${var.output_dir}/golden-debian.{{.ChecksumType}}"
    }
    post-processor "manifest" {
      output     = "${var.output_dir}/manifest.json"
      strip_path = true
    }
  }
}
