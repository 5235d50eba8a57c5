source "null" "null" {
  communicator = "none"
}

source "null" "b" {
  communicator = "none"
}

source "file" "c" {
  target  = "out"
  content = "x"
}

build {
  sources = ["source.null.null", "source.null.b", "source.file.c"]

  provisioner "shell-local" {
    only   = ["null.null", "file.c"]
    inline = ["echo only"]
  }

  provisioner "shell-local" {
    except = ["null.b"]
    inline = ["echo except"]
  }

  provisioner "shell-local" {
    inline = ["echo all"]
  }

  post-processor "manifest" {
    only = ["file.c"]
  }

  post-processors {
    post-processor "compress" {
      except = ["null.null", "null.b"]
      output = "o.tar"
    }

    post-processor "manifest" {}
  }
}

