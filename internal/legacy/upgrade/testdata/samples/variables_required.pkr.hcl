variable "need" {
  type = string
}

source "file" "file" {
  target  = "out"
  content = var.need
}

build {
  sources = ["source.file.file"]
}

