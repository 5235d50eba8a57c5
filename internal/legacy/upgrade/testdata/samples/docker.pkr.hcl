packer {
  required_plugins {
    docker = {
      source  = "github.com/hashicorp/docker"
      version = "~> 1"
    }
  }
}

variable "tag" {
  type    = string
  default = "1.0"
}

source "docker" "docker" {
  image       = "debian:12"
  commit      = true
  pull        = false
  changes     = ["USER www-data", "ENV A b", "CMD [\"nginx\", \"-g\", \"daemon off;\"]"]
  run_command = ["-d", "-i", "-t", "--entrypoint=/bin/sh", "--", "{{.Image}}"]
  volumes = {
    "/a" = "/b"
  }
}

build {
  sources = ["source.docker.docker"]

  provisioner "shell" {
    inline = ["apt-get update"]
  }

  provisioner "file" {
    source      = "docker.json"
    destination = "/tmp/x"
  }

  post-processors {
    post-processor "docker-tag" {
      repository = "example.com/img"
      tags       = compact(split(",", "${var.tag},latest"))
    }

    post-processor "docker-push" {
      login          = true
      login_server   = "example.com"
      login_username = "u"
      login_password = "p"
    }
  }

  post-processor "docker-save" {
    path = "out.tar"
  }
}

