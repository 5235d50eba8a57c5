# A Docker image from a base image: two scripts, a file, a tag.
#
#   ingot build examples/docker
#   ingot build -var image=alpine:3.20 -var 'packages=[]' examples/docker
#
# Packer runs this template as well.

packer {
  required_plugins {
    docker = {
      source  = "github.com/hashicorp/docker"
      version = ">= 1.0.0"
    }
  }
}

variable "image" {
  type        = string
  default     = "debian:12"
  description = "Base image."
}

variable "pull" {
  type        = bool
  default     = true
  description = "Pull the base image first; false takes the one the engine has."
}

variable "repository" {
  type        = string
  default     = "ingot-example/hello"
  description = "Name of the image that is made."
}

locals {
  greeting = "Hello from ${var.repository}"
}

source "docker" "hello" {
  image  = var.image
  pull   = var.pull
  commit = true
  changes = [
    "ENV GREETING=${jsonencode(local.greeting)}",
    "WORKDIR /srv",
    # Without one, the image keeps the shell that provisioners ran under.
    "ENTRYPOINT [\"/srv/hello\"]",
  ]
}

build {
  name    = "example"
  sources = ["source.docker.hello"]

  provisioner "shell" {
    inline = ["mkdir -p /srv"]
  }

  provisioner "file" {
    content     = "#!/bin/sh\necho \"$GREETING\"\n"
    destination = "/srv/hello"
  }

  provisioner "shell" {
    environment_vars = ["BUILT_BY=${build.name}"]
    inline = [
      "chmod 0755 /srv/hello",
      "echo \"built by $BUILT_BY in container ${build.ID}\" > /srv/built",
      "GREETING=works /srv/hello | grep -q works",
    ]
  }

  post-processor "docker-tag" {
    repository = var.repository
    tags       = ["latest"]
  }
}
