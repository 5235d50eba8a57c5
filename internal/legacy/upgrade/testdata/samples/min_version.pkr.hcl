packer {
  required_version = ">= 1.5.4"
}

source "null" "null" {
  communicator = "none"
}

build {
  sources = ["source.null.null"]
}

