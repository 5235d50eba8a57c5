variable "tries" {
  type    = string
  default = "2"
}

variable "keep" {
  type    = string
  default = "true"
}

source "file" "file" {
  target  = "out"
  content = "x"
}

build {
  sources = ["source.file.file"]

  provisioner "shell-local" {
    pause_before = "10s"
    timeout      = "5m"
    max_retries  = 3
    inline       = ["true"]
  }

  provisioner "shell-local" {
    pause_before = "1.5s"
    timeout      = "1m0s"
    max_retries  = 4
    inline       = ["true"]
  }

  provisioner "shell-local" {
    max_retries = var.tries
    inline      = ["true"]
  }

  post-processor "manifest" {
    name                = "the-manifest"
    keep_input_artifact = true
  }

  post-processor "compress" {
    keep_input_artifact = false
    output              = "a.tar"
  }

  post-processor "compress" {
    keep_input_artifact = var.keep
    output              = "b.tar"
  }
}

