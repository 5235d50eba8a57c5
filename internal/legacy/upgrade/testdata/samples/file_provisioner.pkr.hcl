packer {
  required_plugins {
    docker = {
      source  = "github.com/hashicorp/docker"
      version = "~> 1"
    }
  }
}

source "docker" "docker" {
  image   = "debian"
  discard = true
}

build {
  sources = ["source.docker.docker"]

  provisioner "file" {
    source      = "file_provisioner.json"
    destination = "/tmp/"
  }

  provisioner "file" {
    sources     = ["minimal.json", "docker.json"]
    destination = "/tmp/"
    generated   = true
  }

  provisioner "file" {
    content     = <<EOT
a=$${b}
c
EOT
    destination = "/etc/x"
  }

  provisioner "file" {
    direction   = "download"
    source      = "/etc/hosts"
    destination = "hosts"
  }
}

