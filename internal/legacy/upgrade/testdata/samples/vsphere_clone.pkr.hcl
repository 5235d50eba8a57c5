packer {
  required_plugins {
    vsphere = {
      source  = "github.com/hashicorp/vsphere"
      version = "~> 1"
    }
  }
}

variable "data" {
  type = string
}

source "vsphere-clone" "clone" {
  vcenter_server = "v"
  username       = "u"
  password       = "p"
  template       = "t"
  vm_name        = "n"
  communicator   = "none"

  customize {
    linux_options {
      host_name = "h"
      domain    = "d"
    }

    network_interface {
      ipv4_address = "10.0.0.10"
      ipv4_netmask = "24"
    }

    network_interface {}

    ipv4_gateway    = "10.0.0.1"
    dns_server_list = ["10.0.0.18"]
  }

  vapp {
    properties = {
      hostname  = "h"
      user-data = var.data
    }
  }

  content_library_destination {
    library   = "l"
    ovf_flags = ["a"]
  }
}

build {
  sources = ["source.vsphere-clone.clone"]
}

