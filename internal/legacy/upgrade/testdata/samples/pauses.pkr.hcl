source "null" "null" {
  communicator = "none"
}

build {
  sources = ["source.null.null"]

  provisioner "breakpoint" {
    disable = true
    note    = "this is a breakpoint"
  }

  provisioner "sleep" {
    duration = "1s"
  }

  provisioner "sleep" {
    duration = "2s"
  }
}

