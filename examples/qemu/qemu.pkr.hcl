# Makes an image of a virtual machine from Debian's image for clouds: cloud-init
# makes an account for the build, provisioners install what is wanted, and the
# result is a compressed disk that starts like a new one.
#
#   ingot build examples/qemu
#
# It needs QEMU (qemu-system-x86_64 and qemu-img) and downloads 420 MB once. Start
# the result with
#
#   qemu-system-x86_64 -m 1024 -nographic -drive file=output-debian/debian.qcow2,if=virtio

variable "image" {
  type        = string
  default     = "https://cloud.debian.org/images/cloud/bookworm/latest/debian-12-generic-amd64.qcow2"
  description = "Image of a system with cloud-init and apt: a URL or a path."
}

variable "checksum" {
  type        = string
  default     = "file:https://cloud.debian.org/images/cloud/bookworm/latest/SHA512SUMS"
  description = "Checksum of the image, or file: with a list of checksums."
}

locals {
  # The account exists during the build only.
  user     = "builder"
  password = uuidv4()
}

source "qemu" "debian" {
  # ingot:ignore=IMG106 the newest image of the release is wanted each time
  iso_url      = var.image
  iso_checksum = var.checksum
  disk_image   = true

  vm_name          = "debian.qcow2"
  disk_size        = "8G"
  disk_compression = true
  cpus             = 2
  memory           = 1024
  headless         = true

  # cloud-init takes its orders from a CD with this label.
  cd_label = "cidata"
  cd_content = {
    "meta-data" = jsonencode({ "instance-id" = "build" })
    "user-data" = join("\n", ["#cloud-config", jsonencode({
      ssh_pwauth = true
      users = [{
        name              = local.user
        plain_text_passwd = local.password
        lock_passwd       = false
        shell             = "/bin/bash"
        sudo              = "ALL=(ALL) NOPASSWD:ALL"
      }]
    })])
  }

  ssh_username     = local.user
  ssh_password     = local.password
  ssh_timeout      = "10m"
  shutdown_command = "sudo systemctl poweroff"
}

build {
  sources = ["source.qemu.debian"]

  provisioner "cloud-init" {}

  provisioner "shell" {
    execute_command = "sudo env {{ .Vars }} sh '{{ .Path }}'"
    inline = [
      "set -e",
      "export DEBIAN_FRONTEND=noninteractive",
      "apt-get -q update",
      "apt-get -q -y --no-install-recommends install nginx-light",
      "apt-get -q clean",
    ]
  }

  # What belongs to this build goes, the account last: a machine that is started
  # from the image sets itself up as if it were the first time.
  provisioner "shell" {
    execute_command = "sudo env {{ .Vars }} sh '{{ .Path }}'"
    inline = [
      "set -e",
      "rm -rf /var/lib/apt/lists/*",
      "rm -f /etc/ssh/sshd_config.d/50-cloud-init.conf",
      "cloud-init clean --logs --machine-id --seed",
      "passwd -l ${local.user}",
      "chage -E 0 ${local.user}",
    ]
  }

  post-processor "checksum" {
    checksum_types = ["sha256"]
    output         = "output-debian/debian.qcow2.{{.ChecksumType}}"
  }
}
