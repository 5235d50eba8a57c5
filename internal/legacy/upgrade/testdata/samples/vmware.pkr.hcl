packer {
  required_plugins {
    vmware = {
      source  = "github.com/hashicorp/vmware"
      version = "~> 1"
    }
  }
}

source "vmware-iso" "vm" {
  iso_url          = "x"
  iso_checksum     = "none"
  ssh_username     = "u"
  shutdown_command = "x"
  vmx_data = {
    memsize             = "1024"
    numvcpus            = 2
    "ethernet0.present" = "TRUE"
  }
  vmx_remove_ethernet_interfaces = true
}

build {
  sources = ["source.vmware-iso.vm"]
}

