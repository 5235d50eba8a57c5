variable "other" {
  type = string
}

variable "another" {
  type = string
}

source "file" "file" {
  target  = "out"
  content = "${var.other} and ${var.another}"
}

build {
  sources = ["source.file.file"]
}

