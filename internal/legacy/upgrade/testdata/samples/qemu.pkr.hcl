packer {
  required_plugins {
    qemu = {
      source  = "github.com/hashicorp/qemu"
      version = "~> 1"
    }
  }
}

variable "headless" {
  type    = string
  default = "true"
}

variable "iso_checksum" {
  type    = string
  default = "sha256:abc"
}

variable "memory" {
  type    = string
  default = "1024"
}

source "qemu" "qemu" {
  iso_url          = "http://example.com/x.iso"
  iso_checksum     = var.iso_checksum
  headless         = var.headless
  memory           = var.memory
  output_directory = "out"
  shutdown_command = "echo 'x' | sudo -S shutdown -P now"
  disk_size        = "5000M"
  format           = "qcow2"
  accelerator      = "kvm"
  http_directory   = "http"
  ssh_username     = "root"
  ssh_password     = "s0m3password"
  ssh_timeout      = "20m"
  vm_name          = "tdhtest"
  boot_wait        = "10s"
  boot_command = [
    "<tab> text ks=http://{{ .HTTPIP }}:{{ .HTTPPort }}/centos6-ks.cfg<enter><wait>",
  ]
  qemuargs = [
    ["-m", "1024M"],
    ["--no-acpi", ""],
    ["-netdev", "user,id=mynet0,hostfwd=hostip:hostport-guestip:guestport", ""],
  ]

  qemu_img_args {
    create = ["-F", "qcow2"]
  }

  cd_content = {
    meta-data = ""
    user-data = "#cloud-config\nusers: []\n"
  }
  http_content = {
    "/a" = var.memory
  }
}

build {
  sources = ["source.qemu.qemu"]
}

