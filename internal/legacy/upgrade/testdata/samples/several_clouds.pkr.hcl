packer {
  required_plugins {
    digitalocean = {
      source  = "github.com/digitalocean/digitalocean"
      version = "~> 1"
    }
    hcloud = {
      source  = "github.com/hetznercloud/hcloud"
      version = "~> 1"
    }
    hyperv = {
      source  = "github.com/hashicorp/hyperv"
      version = "~> 1"
    }
    parallels = {
      source  = "github.com/Parallels/parallels"
      version = "~> 1"
    }
    proxmox = {
      source  = "github.com/hashicorp/proxmox"
      version = "~> 1"
    }
  }
}

source "digitalocean" "digitalocean" {
  api_token = "t"
}

source "hcloud" "hcloud" {
  token = "t"
}

source "proxmox-iso" "proxmox-iso" {
  node = "n"

  disks {
    type      = "scsi"
    disk_size = "5G"
  }

  network_adapters {
    bridge = "vmbr0"
  }
}

source "hyperv-iso" "hyperv-iso" {
  generation = 2
}

source "parallels-iso" "parallels-iso" {
  prlctl = [["set", "{{.Name}}", "--memsize", "1024"]]
}

build {
  sources = [
    "source.digitalocean.digitalocean",
    "source.hcloud.hcloud",
    "source.proxmox-iso.proxmox-iso",
    "source.hyperv-iso.hyperv-iso",
    "source.parallels-iso.parallels-iso",
  ]

  provisioner "shell" {
    inline = ["true"]

    override = {
      hyperv-iso = {
        inline = ["false"]
      }
    }
  }
}

