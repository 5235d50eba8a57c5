# One line.
# why: Several
# lines.
# author: somebody
# license: none
# at all

source "null" "null" {
  communicator = "none"
  # Inside of a builder.
}

build {
  sources = ["source.null.null"]

  provisioner "shell-local" {
    # Inside of a step.
    inline = ["true"]
  }
}

