# Provisions a machine that exists already, over SSH. Nothing is built; the
# null builder only connects.
#
#   ingot build -var host=192.0.2.10 -var user=admin -var key=~/.ssh/id_ed25519 examples/ssh

variable "host" {
  type        = string
  description = "Address of the machine."
}

variable "port" {
  type    = number
  default = 22
}

variable "user" {
  type = string
}

variable "key" {
  type        = string
  description = "Private key file."
}

variable "folder" {
  type        = string
  default     = "/tmp/ingot-example"
  description = "Folder on the machine to work in."
}

source "null" "machine" {
  ssh_host             = var.host
  ssh_port             = var.port
  ssh_username         = var.user
  ssh_private_key_file = var.key
  ssh_timeout          = "2m"
}

build {
  sources = ["source.null.machine"]

  provisioner "shell" {
    inline = [
      "uname -a",
      "mkdir -p ${var.folder}",
    ]
  }

  # With the slash at the end, the contents of the folder are copied.
  provisioner "file" {
    source      = "${path.root}/files/"
    destination = "${var.folder}/"
  }

  provisioner "shell" {
    inline = ["cat ${var.folder}/motd", "date > ${var.folder}/provisioned"]
  }

  provisioner "file" {
    direction   = "download"
    source      = "${var.folder}/provisioned"
    destination = "provisioned.txt"
  }

  post-processor "manifest" {}
}
