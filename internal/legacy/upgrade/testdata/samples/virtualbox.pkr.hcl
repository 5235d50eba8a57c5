packer {
  required_plugins {
    vagrant = {
      source  = "github.com/hashicorp/vagrant"
      version = "~> 1"
    }
    virtualbox = {
      source  = "github.com/hashicorp/virtualbox"
      version = "~> 1"
    }
  }
}

source "virtualbox-iso" "virtualbox-iso" {
  guest_os_type            = "Ubuntu_64"
  iso_url                  = "x"
  iso_checksum             = "none"
  ssh_username             = "packer"
  ssh_password             = "packer"
  shutdown_command         = "poweroff"
  hard_drive_nonrotational = true
  vboxmanage = [
    ["modifyvm", "{{.Name}}", "--memory", "1024"],
    ["modifyvm", "{{.Name}}", "--cpus", "2"],
  ]
  boot_command = ["<esc><wait>", "/install/vmlinuz<wait>", " auto<wait>"]
  disk_size    = 40000
}

build {
  sources = ["source.virtualbox-iso.virtualbox-iso"]

  post-processor "vagrant" {
    output            = "{{.Provider}}.box"
    compression_level = 9
    include           = ["a", "b"]
    override = {
      virtualbox = {
        output = "vb.box"
      }
      vmware = {}
    }
  }
}

