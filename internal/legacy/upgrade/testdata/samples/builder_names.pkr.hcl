variable "who" {
  type    = string
  default = "me"
}

source "null" "null" {
  communicator = "none"
}

source "null" "plain-name" {
  communicator = "none"
}

source "null" "with_space" {
  communicator = "none"
}

source "null" "with_space_2" {
  communicator = "none"
}

source "null" "me-box" {
  communicator = "none"
}

source "null" "_7up" {
  communicator = "none"
}

build {
  sources = [
    "source.null.null",
    "source.null.plain-name",
    "source.null.with_space",
    "source.null.with_space_2",
    "source.null.me-box",
    "source.null._7up",
  ]

  provisioner "shell-local" {
    only   = ["null.with_space", "null.with_space_2", "null.me-box", "null._7up"]
    inline = ["true"]
  }
}

