source "null" "null" {
  communicator = "none"
}

build {
  sources = ["source.null.null"]

  provisioner "shell-local" {
    inline = ["true"]
  }

  error-cleanup-provisioner "shell-local" {
    timeout = "1m"
    inline  = ["echo failed ${source.name}"]
  }
}

