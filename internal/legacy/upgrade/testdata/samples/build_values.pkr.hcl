source "file" "file" {
  target  = "file-file.txt"
  content = "x"
}

source "null" "second" {
  communicator = "none"
}

build {
  sources = ["source.file.file", "source.null.second"]

  provisioner "shell-local" {
    inline = ["echo ${source.name} ${source.type} ${build.ID} ${build.PackerRunUUID}"]
  }

  post-processor "shell-local" {
    inline = ["echo ${source.name} ${build.ID}"]
  }
}

