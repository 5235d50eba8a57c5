source "null" "null" {
  communicator = "none"
}

build {
  sources = ["source.null.null"]
}

