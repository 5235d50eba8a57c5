source "null" "null" {
  communicator = "none"
}

build {
  sources = ["source.null.null"]

  provisioner "shell-local" {
    command = "echo foo"
  }

  provisioner "shell-local" {
    inline  = ["true"]
    only_on = ["linux", "darwin"]
    env = {
      A = "x"
    }
    tempfile_extension = ".sh"
    valid_exit_codes   = [0, 1]
  }

  provisioner "shell-local" {
    script         = "minimal.json"
    inline_shebang = "/bin/bash -e"
  }
}

