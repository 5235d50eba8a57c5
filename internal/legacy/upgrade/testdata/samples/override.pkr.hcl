source "null" "null" {
  communicator = "none"
}

source "null" "two-words" {
  communicator = "none"
}

build {
  sources = ["source.null.null", "source.null.two-words"]

  provisioner "shell-local" {
    inline = ["echo ${source.name}"]

    override = {
      "null" = {
        inline           = ["echo null null"]
        environment_vars = ["A=1"]
      }
      two-words = {
        env = {
          B = "$${2}"
        }
      }
    }
  }
}

