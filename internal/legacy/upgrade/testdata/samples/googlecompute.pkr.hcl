packer {
  required_plugins {
    googlecompute = {
      source  = "github.com/hashicorp/googlecompute"
      version = "~> 1"
    }
  }
}

locals {
  timestamp = rfc3339_parse(legacy_isotime()).unix
}

source "googlecompute" "googlecompute" {
  project_id   = "p"
  source_image = "debian"
  zone         = "z"
  ssh_username = "u"
  image_name   = "x-${local.timestamp}"
  image_labels = {
    a = "b"
  }
  metadata = {
    k = "v"
  }
  tags   = ["a", "b"]
  scopes = ["s"]
}

build {
  sources = ["source.googlecompute.googlecompute"]
}

