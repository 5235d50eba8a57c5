packer {
  required_plugins {
    vsphere = {
      source  = "github.com/hashicorp/vsphere"
      version = "~> 1"
    }
  }
}

variable "password" {
  type = string
}

source "vsphere-iso" "vsphere-iso" {
  vcenter_server       = "v"
  username             = "root"
  password             = var.password
  insecure_connection  = "true"
  vm_name              = "vm-${legacy_isotime("20060102")}"
  host                 = "h"
  guest_os_type        = "ubuntu64Guest"
  CPUs                 = 1
  RAM                  = 1024
  RAM_reserve_all      = true
  disk_controller_type = ["pvscsi"]

  network_adapters {
    network      = "VM Network"
    network_card = "vmxnet3"
  }

  storage {
    disk_size             = 32768
    disk_thin_provisioned = true
  }

  iso_paths    = ["[datastore1] ISO/ubuntu.iso"]
  floppy_files = ["preseed.cfg"]
  configuration_parameters = {
    "disk.EnableUUID" = "TRUE"
  }
  boot_command = ["<enter><wait>"]

  export {
    force            = true
    output_directory = "./out"
    options          = ["mac"]
  }

  ssh_username = "j"
  ssh_password = "j"
}

build {
  sources = ["source.vsphere-iso.vsphere-iso"]

  post-processors {
    post-processor "vsphere-template" {}

    post-processor "vsphere" {
      vm_name = "x"
      options = ["--acceptAllEulas"]
    }
  }
}

