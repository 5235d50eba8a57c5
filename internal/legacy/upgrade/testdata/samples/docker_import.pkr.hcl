packer {
  required_plugins {
    docker = {
      source  = "github.com/hashicorp/docker"
      version = "~> 1"
    }
  }
}

source "docker" "docker" {
  image       = "debian:12"
  export_path = "image.tar"
}

build {
  sources = ["source.docker.docker"]

  post-processors {
    post-processor "docker-import" {
      repository = "r"
      tag        = "0.7"
      changes    = ["EXPOSE 80"]
    }

    post-processor "docker-tag" {
      repository = "q"
      tags       = ["a", "b"]
    }
  }
}

