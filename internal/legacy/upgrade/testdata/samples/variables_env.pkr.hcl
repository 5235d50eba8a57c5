variable "home" {
  type    = string
  default = env("HOME")
}

variable "path" {
  type    = string
  default = "${env("HOME")}/bin:${env("NOT_THERE")}"
}

source "file" "file" {
  target  = "out"
  content = "${var.home} ${var.path}"
}

build {
  sources = ["source.file.file"]
}

