source "null" "a" {
  communicator = "none"
}

source "null" "b" {
  communicator = "none"
}

source "null" "c" {
  communicator = "none"
}

build {
  sources = ["source.null.a", "source.null.b", "source.null.c"]

  provisioner "shell-local" {
    only             = ["null.a", "null.c"]
    pause_before     = "1s"
    inline           = ["echo base"]
    valid_exit_codes = [0, 1]

    override = {
      c = {
        inline = ["echo c"]
      }
    }
  }

  provisioner "shell-local" {
    only             = ["null.b"]
    pause_before     = "1s"
    inline           = ["echo ${build.ID}"]
    valid_exit_codes = [0, 1]
  }

  provisioner "shell-local" {
    only   = ["null.a"]
    inline = [build.ID]
  }
}

